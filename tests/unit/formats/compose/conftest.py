"""Loading a file, or several, out of a dictionary that stands for the disk."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lading.formats.compose import checking, resolving
from lading.formats.compose.loading import Loader
from lading.formats.compose.model import Project

Load = Callable[..., Project]


@pytest.fixture
def load() -> Load:
    """``load(text, …, files={path: text}, environ={…}, check=True)``: the project called ``app`` in ``/srv``."""

    def loading(
        *texts: str,
        files: dict[str, str] | None = None,
        environ: dict[str, str] | None = None,
        profiles: tuple[str, ...] = (),
        named: tuple[str, ...] = (),
        check: bool = True,
    ) -> Project:
        disk = {path: text.encode() for path, text in (files or {}).items()}
        loader = Loader(disk.get, environ or {}, home="/home/me")
        numbered = [(f"/srv/{n}.yaml", text.encode()) for n, text in enumerate(texts)]
        project = loader.load(numbered, "/srv")
        project.name = "app"
        if check:
            resolving.fill(project, {})
            resolving.active(project, profiles, named)
            checking.check(project)
            resolving.environments(project, disk.get, environ or {}, loader.warnings)
        return project

    return loading
