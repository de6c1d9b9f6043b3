"""What a build fetches: files of the web and repositories, with the credentials that the user gave it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.build.agents import Agents
    from lading.build.downloads import Downloads
    from lading.build.gitaccess import GitAccess
    from lading.build.progress import Progress
    from lading.build.repositories import Repositories
    from lading.build.workshop import Settings
    from lading.images import Images


class Fetching:
    """``downloads`` and ``repositories`` of one build. ``data``: the builder's directory; ``config``: the configuration's.

    Secrets may be for repositories (:class:`lading.build.gitaccess.GitAccess`); the SSH agent ``default`` is.
    """

    def __init__(
        self, images: Images, data: str, config: str, settings: Settings, progress: Progress
    ) -> None:
        self._images = images
        self._data = data
        self._config = config
        self._progress = progress
        self._agent = settings.agents.get("default", "")
        self._secrets = settings.secrets
        self._access: GitAccess | None = None
        if any(name.startswith("GIT_AUTH_") for name in settings.secrets):
            self._git_access()  # one that is no header is refused at once
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

    def _git_access(self) -> GitAccess:
        if self._access is None:
            from lading.build.gitaccess import GitAccess

            self._access = GitAccess(self._secrets, self._config)
        return self._access

    @property
    def repositories(self) -> Repositories:
        """Checkouts of git repositories."""
        if self._repositories is None:
            from lading.build.git import Git
            from lading.build.repositories import Repositories

            git = Git(agent=self._agent, access=self._git_access())
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
        if self._access is not None:
            self._access.close()
