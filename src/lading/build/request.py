"""What a build is asked for, in one typed value: the same for every face that builds."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from lading.build.graph import CopyOp, Selection
    from lading.build.workshop import Settings, Source
    from lading.formats.dockerfile import Dockerfile
    from lading.formats.oci_image import Platform

    class Context(Source, Protocol):
        """A source whose files can be asked for before the build."""

        def digest(self, selection: Selection, op: CopyOp | None) -> str:
            """The digest of what a copy (or a mount, without ``op``) takes. Raises :class:`NotFound`."""


class Request:
    """What to build, from what, and how.

    ``dockerfile``       parsed.
    ``contexts``         sources of files by name; the build context's name is empty.
    ``image_names``      images by the names that the file has for them (``--build-context``).
    ``args``, ``labels`` ``--build-arg`` and ``--label``; ``target``: the stage's name or number, empty for the last.
    ``platform``         what is built for; ``build_platform``: this machine's.
    ``no_cache``         nothing is looked up; ``no_cache_stages``: the same for these stages.
    ``pull``             ask registries for newer base images.
    ``hosts``            ``NAME=ADDRESS`` for RUN; ``network`` of RUN steps that say none; ``shm_size`` in bytes.
    ``allow``            what RUN may ask for: ``network.host``, ``security.insecure``.
    ``jobs``             steps at once; 0 for one a processor.
    """

    def __init__(
        self,
        dockerfile: Dockerfile,
        *,
        platform: Platform,
        build_platform: Platform,
        settings: Settings,
    ) -> None:
        self.dockerfile = dockerfile
        self.platform = platform
        self.build_platform = build_platform
        self.settings = settings
        self.contexts: dict[str, Context] = {}
        self.image_names: dict[str, str] = {}
        self.args: dict[str, str] = {}
        self.labels: dict[str, str] = {}
        self.target = ""
        self.no_cache = False
        self.no_cache_stages: frozenset[str] = frozenset()
        self.pull = False
        self.hosts: list[str] = []
        self.network = "default"
        self.shm_size: int | None = None
        self.ulimits: list[str] = []
        self.allow: frozenset[str] = frozenset()
        self.jobs = 0
