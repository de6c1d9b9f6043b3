"""Building images: from a Dockerfile to an image, by a graph that knows no Dockerfile.

====================  ==========================================================================================
``request``           what is asked for, in one value
``frontend``          a Dockerfile and a request to a ``graph`` and the image's configuration
``graph``             steps as pure data, each with a key that speaks of content alone
``solver``            which step to look up, carry out or leave alone next: a pure state machine
``executor``          does what the solver asks, each step in a process of its own (``worker``)
``running``           RUN: a pod; ``placing``, ``copying``: COPY, ADD, WORKDIR
``trees``             files that steps take from; ``taking``: what a copy takes of them, for keys and for copying
``contexts``          directories as sources of files; ``remembered``: what their files contain
``origins``           where context and Dockerfile are; ``arrivals``: those that come by a stream, a URL or a repository
``fetching``          what is fetched: ``downloads``, ``repositories`` (by ``git``); ``agents``: SSH agents for it
``cache``             what steps gave, as pins of the image store; ``recorder``, ``ahead``: written behind the build's back
``records``           the cache as people see it; ``housekeeping`` prunes and mends it
``sharing``           caches of other machines: ``exportcache``, ``importcache``
``evidence``          statements beside an image; ``packages`` reads what is inside, ``spdx`` tells it
``outputs``           ``--output`` in typed form; ``exporting`` does it: archives, pushes, ``localfiles``
``image``             a result to an image's layers, configuration, manifest and index
``progress``          what a build tells while it runs
====================  ==========================================================================================

:class:`lading.build.builder.Builder` is what faces call. Nothing here prints: :class:`lading.build.progress.Progress` is told.
"""
