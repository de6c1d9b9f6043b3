"""What a build fetches: files of the web and repositories, with the credentials that the user gave it."""

from __future__ import annotations

from lading.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.build.agents import Agents
    from lading.build.downloads import Downloads
    from lading.build.progress import Progress
    from lading.build.repositories import Repositories
    from lading.build.workshop import Settings
    from lading.images import Images

_TOKEN, _HEADER = "GIT_AUTH_TOKEN", "GIT_AUTH_HEADER"


class Fetching:
    """``downloads`` and ``repositories`` of one build. ``data``: the builder's directory; ``config``: the configuration's.

    Secrets called ``GIT_AUTH_TOKEN[.HOST]`` and ``GIT_AUTH_HEADER[.HOST]`` are for repositories, as BuildKit has it; the SSH
    agent ``default`` is too.
    """

    def __init__(
        self, images: Images, data: str, config: str, settings: Settings, progress: Progress
    ) -> None:
        self._images = images
        self._data = data
        self._config = config
        self._progress = progress
        self._agent = settings.agents.get("default", "")
        self._headers = _headers(settings)
        self._downloads: Downloads | None = None
        self._repositories: Repositories | None = None
        self._agents: Agents | None = None

    @property
    def downloads(self) -> Downloads:
        """Files of the web. Most builds fetch none, and HTTP takes long to load."""
        if self._downloads is None:
            from lading.build.downloads import Downloads

            self._downloads = Downloads(self._data, self._config, self._progress)
        return self._downloads

    @property
    def repositories(self) -> Repositories:
        """Checkouts of git repositories."""
        if self._repositories is None:
            from lading.build.git import Git
            from lading.build.repositories import Repositories

            git = Git(agent=self._agent, headers=self._headers)
            self._repositories = Repositories(self._data, git, self._images.layers.stage, self._progress)
        return self._repositories

    def also(self, agents: Agents) -> None:
        """End these agents as well when the build is over."""
        self._agents = agents

    def close(self) -> None:
        """Let go of connections and agents."""
        if self._downloads is not None:
            self._downloads.close()
        if self._agents is not None:
            self._agents.close()


def _headers(settings: Settings) -> dict[str, str]:
    made: dict[str, str] = {}
    for name, data in sorted(settings.secrets.items()):
        kind, dot, host = name.partition(".")
        if kind not in (_TOKEN, _HEADER) or (dot and not host):
            continue
        try:
            text = data.decode("ascii").strip()
        except UnicodeDecodeError:
            text = "\n"
        if not text.isprintable():
            raise InvalidInput(f"the secret {name!r} is no header: it has more than one line of plain text")
        prefix = f"https://{host}/" if host else "https://"
        if kind == _TOKEN:
            import base64

            text = "basic " + base64.b64encode(b"x-access-token:" + text.encode()).decode()
        made[prefix] = text
    return made
