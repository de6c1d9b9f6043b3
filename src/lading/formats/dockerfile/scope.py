"""Which variables an instruction sees: global arguments for FROM, then a stage's own ARGs and ENVs.

Source: the Dockerfile reference, "ARG" (scope, predefined arguments, automatic platform arguments) and "ENV". Where the
reference leaves it open, BuildKit decides: in a stage the later of an ARG and an ENV of one name counts; a stage that begins
with another one has its arguments too, and the image's environment over them.
"""

from __future__ import annotations

from lading.formats import platform as platforms
from lading.formats.dockerfile.expansion import Expander

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lading.formats.dockerfile.model import Arg, Env
    from lading.formats.oci_image import Platform

PROXIES = (
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "FTP_PROXY",
    "ftp_proxy",
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
)
"""Given with ``--build-arg``, they are in the environment of every RUN without an ARG, and never part of what is built."""

PLATFORMS = tuple(
    prefix + suffix
    for prefix in ("BUILD", "TARGET")
    for suffix in ("PLATFORM", "OS", "OSVERSION", "ARCH", "VARIANT")
)
"""FROM sees them at once; a stage only after ``ARG NAME``. So it is with ``TARGETSTAGE``, the name of the target."""

CONTROLS = {
    "BUILDKIT_BUILD_NAME": "the name of the build in lists",
    "BUILDKIT_CACHE_MOUNT_NS": "a prefix of the ids of cache mounts",
    "BUILDKIT_CONTEXT_KEEP_GIT_DIR": "whether a Git context keeps its .git directory",
    "BUILDKIT_DOCKERFILE_CHECK": "the check directive, over the file's own",
    "BUILDKIT_INLINE_CACHE": "whether the image's configuration holds the cache's keys",
    "BUILDKIT_MULTI_PLATFORM": "whether results for one platform look like those for several",
    "BUILDKIT_SANDBOX_HOSTNAME": "the host name that RUN sees",
    "BUILDKIT_SBOM_SCAN_CONTEXT": "whether the bill of materials covers the build context",
    "BUILDKIT_SBOM_SCAN_STAGE": "the stages that the bill of materials covers beside the target",
    "BUILDKIT_SYNTAX": "the syntax directive, over the file's own",
    "SOURCE_DATE_EPOCH": "the time of files and images, seconds since 1970",
}
"""Build arguments that steer the builder, with what each says. A stage sees one only after ``ARG NAME``."""

NOT_EXPANDED = ("BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE")
"""Controls that are no variables even after ARG."""


def automatic(build: Platform, target: Platform, stage: str = "") -> dict[str, str]:
    """The automatic arguments of a build on one platform for another; ``stage`` is the target's name."""
    made: dict[str, str] = {}
    for prefix, platform in (("BUILD", build), ("TARGET", target)):
        made[f"{prefix}PLATFORM"] = platforms.text(platform)
        made[f"{prefix}OS"] = platform.os
        made[f"{prefix}OSVERSION"] = platform.os_version
        made[f"{prefix}ARCH"] = platform.architecture
        made[f"{prefix}VARIANT"] = platform.variant
    made["TARGETSTAGE"] = stage or "default"
    return made


class Globals:
    """What ARG says before the first FROM.

    ``given``     values from the command line. ``known``: the automatic arguments, which ``given`` may replace.
    ``values``    name → value of those that have one; ``declared`` all names of the file's ARGs.
    ``used``      the given names that any ARG asked for, filled by the stages' scopes as well.

    Raises :class:`DockerfileError` for a default that cannot be expanded.
    """

    def __init__(
        self, given: Mapping[str, str], known: Mapping[str, str], arguments: Iterable[Arg], escape: str
    ) -> None:
        self.given = given
        self.known = {name: given.get(name, value) for name, value in known.items()}
        self.values: dict[str, str] = {}
        self.declared: dict[str, None] = {}
        self.used: set[str] = set()
        for argument in arguments:
            for definition in argument.definitions:
                name = definition.name
                self.declared[name] = None
                self.used.add(name)
                if name in given:
                    self.values[name] = given[name]
                elif definition.value is not None:
                    self.values[name] = argument.told(Expander(self.get, escape).word, definition.value)

    def get(self, name: str) -> str | None:
        """The value that FROM sees."""
        found = self.values.get(name)
        return self.known.get(name) if found is None else found


class Scope:
    """A stage's variables.

    ``env``        the environment of the image, in order. ``args``: declared names, with None where there is no value.
    ``variables``  what an instruction sees: of one name the later of ARG and ENV.
    """

    def __init__(self, outer: Globals, env: Iterable[str], escape: str) -> None:
        self._outer = outer
        self._escape = escape
        self.env: dict[str, str] = {}
        self.args: dict[str, str | None] = {}
        for pair in env:
            name, _, value = pair.partition("=")
            self.env[name] = value
        self.variables: dict[str, str] = dict(self.env)

    def child(self) -> Scope:
        """The scope of a stage that begins with this one's result: its arguments, and its environment over them."""
        made = Scope(self._outer, (), self._escape)
        made.env = dict(self.env)
        made.args = dict(self.args)
        made.variables = {**self.variables, **self.env}
        return made

    def get(self, name: str) -> str | None:
        """The value that an instruction sees."""
        return self.variables.get(name)

    @property
    def expander(self) -> Expander:
        """What expands an instruction's words here and now."""
        return Expander(self.variables.get, self._escape)

    def pairs(self) -> list[str]:
        """The environment as an image has it."""
        return [f"{name}={value}" for name, value in self.env.items()]

    def set(self, instruction: Env) -> None:
        """ENV, expanded already."""
        for pair in instruction.pairs:
            self.env[pair.name] = pair.value
            self.variables[pair.name] = pair.value

    def declare(self, argument: Arg, expander: Expander | None = None) -> None:
        """ARG: a value that was given, or its default, or the global one. Raises :class:`DockerfileError`."""
        outer = self._outer
        for definition in argument.definitions:
            name = definition.name
            outer.used.add(name)
            value: str | None
            if name in outer.given:
                value = outer.given[name]
            elif definition.value is not None:
                value = argument.told((expander or self.expander).word, definition.value)
            else:
                value = outer.get(name)
            self.args[name] = value
            if value is not None and name not in NOT_EXPANDED:
                self.variables[name] = value

    def command_env(self) -> list[str]:
        """What a RUN finds in its environment: the image's, and every argument that has a value."""
        return [f"{name}={value}" for name, value in self.variables.items()]

    def proxies(self) -> list[str]:
        """Proxies that were given and that nothing here sets: for a command's environment, and for no key.

        Given in capitals or not, a command finds both: programs do not agree on which they look for.
        """
        folded = {name.upper(): value for name, value in self._outer.given.items() if name.upper() in PROXIES}
        given = {name: self._outer.given.get(name, folded.get(name.upper())) for name in PROXIES}
        return [
            f"{name}={value}"
            for name, value in given.items()
            if value is not None and name not in self.variables
        ]
