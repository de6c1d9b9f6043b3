"""What Rocket's configuration files say: who we are at which host and registry, and where things are kept.

They stand in the subdirectories ``auth.d`` and ``paths.d`` of each of :func:`lading.roots.config_layers`, and a later directory
goes over an earlier one, host by host. Within one directory nothing may be said twice. Only names that end in ``.json`` count.
Source: Rocket's documentation, "configuration".
"""

from __future__ import annotations

import os

from lading.errors import InvalidInput
from lading.formats.appc import credentials as format
from lading.formats.appc import paths
from lading.images.auth import registry_of
from lading.images.files import disk_error, read
from lading.roots import config_layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lading.formats.appc.credentials import Credential, Login


def credentials(config: str, environ: Mapping[str, str] = os.environ) -> dict[str, Credential]:
    """Who we are at hosts that have images, signatures and pages, by domain. Raises :class:`InvalidInput` for a broken file."""
    made: dict[str, Credential] = {}
    for layer in config_layers(config, environ):
        files = _files(f"{layer}/auth.d")
        made.update(format.together((path, format.parse(data, what=path)) for path, data in files))
    return made


def logins(config: str, environ: Mapping[str, str] = os.environ) -> dict[str, Login]:
    """Who we are at registries, by what references call them. Raises :class:`InvalidInput` for a broken file."""
    made: dict[str, Login] = {}
    for layer in config_layers(config, environ):
        files = _files(f"{layer}/auth.d")
        found = format.together((path, format.logins(data, what=path)) for path, data in files)
        made.update((registry_of(name), login) for name, login in found.items())
    return made


def data_directory(config: str, environ: Mapping[str, str] = os.environ) -> str:
    """Where images and pods are kept; empty where no file says so. Raises :class:`InvalidInput` for a broken file."""
    found = ""
    for layer in config_layers(config, environ):
        owner = here = ""
        for path, data in _files(f"{layer}/paths.d"):
            directory = paths.data_directory(data, what=path)
            if directory and owner:
                raise InvalidInput(f"{path}: {owner} says already where data is kept")
            if directory:
                owner, here = path, directory
        found = here or found
    return found


def _files(directory: str) -> Iterator[tuple[str, bytes]]:
    try:
        names = sorted(name for name in os.listdir(directory) if name.endswith(".json") and name[0] != ".")
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise disk_error(error, f"cannot read {directory}") from None
    for name in names:
        path = f"{directory}/{name}"
        try:
            yield path, read(path) or b""
        except OSError as error:
            raise disk_error(error, f"cannot read {path}") from None
