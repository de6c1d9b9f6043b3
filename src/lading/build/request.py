"""What a build is asked for, in one typed value: the same for every face that builds."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from lading.build.fetching import Fetching
    from lading.build.graph import CopyOp, Selection
    from lading.build.trees import Choice
    from lading.build.workshop import Settings, Source
    from lading.formats.dockerfile import Dockerfile
    from lading.formats.dockerfile.ignore import Ignore
    from lading.formats.oci_image import Platform

    class Context(Source, Protocol):
        """A source whose files can be asked for before the build. ``ignore``: what is left out of them."""

        ignore: Choice | None

        def digest(self, selection: Selection, op: CopyOp | None) -> str:
            """The digest of what a copy (or a mount, without ``op``) takes. Raises :class:`NotFound`."""

        def close(self) -> None:
            """The build is over."""


class Request:
    """What to build, from what, and how.

    ``dockerfile``       parsed.
    ``contexts``         sources of files by name; the build context's name is empty.
    ``image_names``      images by the names that the file has for them (``--build-context``); ``stage_names``: stages so.
    ``fetching``         fetches files of the web and repositories; None where nothing is fetched.
    ``ignore``           what the build context's ignore file leaves out.
    ``args``, ``labels`` ``--build-arg`` and ``--label``; ``target``: the stage's name or number, empty for the last.
    ``platform``         what is built for; ``build_platform``: this machine's.
    ``no_cache``         nothing is looked up; ``no_cache_stages``: the same for these stages.
    ``pull``             ask registries for newer base images; ``pull_never``: never ask them.
    ``hosts``            ``NAME=ADDRESS`` for RUN; ``network`` of RUN steps that say none; ``shm_size`` in bytes.
    ``hostname``         of RUN, empty for the builder's own; ``cache_namespace``: before the ids of its caches.
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
        self.stage_names: dict[str, str] = {}
        self.fetching: Fetching | None = None
        self.ignore: Ignore | None = None
        self.args: dict[str, str] = {}
        self.labels: dict[str, str] = {}
        self.target = ""
        self.no_cache = False
        self.no_cache_stages: frozenset[str] = frozenset()
        self.pull = False
        self.pull_never = False
        self.hosts: list[str] = []
        self.hostname = ""
        self.cache_namespace = ""
        self.network = "default"
        self.shm_size: int | None = None
        self.ulimits: list[str] = []
        self.allow: frozenset[str] = frozenset()
        self.jobs = 0

    def leave_out(self, ignore: Ignore) -> None:
        """Leave out of the build context what ``ignore`` says, and nothing else."""
        self.ignore = ignore
        context = self.contexts.get("")
        if context is not None:
            context.ignore = ignore

    def context_name(self, name: str) -> str:
        """The name of the context that stands in place of the image ``name``; empty for none. It need not say ``:latest``."""
        short = name.removesuffix(":latest")
        plain = short.removeprefix("docker.io/").removeprefix("library/")
        for one in (name, short, plain, name.lower()):
            if one in self.contexts and one:
                return one
        return ""

    def image_name(self, name: str) -> str:
        """The image that stands in place of ``name``; empty for none."""
        short = name.removesuffix(":latest")
        plain = short.removeprefix("docker.io/").removeprefix("library/")
        return next((self.image_names[one] for one in (name, short, plain) if one in self.image_names), "")

    def close(self) -> None:
        """Keep what contexts learned of their files; let go of what was made for the build."""
        for context in self.contexts.values():
            context.close()
        if self.fetching is not None:
            self.fetching.close()
