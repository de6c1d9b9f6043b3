"""Rocket's flags about directories, and what its files say of them: told to all that runs in this process by its environment.

Called before anything is opened there. Source: Rocket's documentation, "commands" (global options) and "configuration".
"""

from __future__ import annotations

import os

from lading.errors import InvalidInput
from lading.flags import UsageError
from lading.roots import Roots, config_layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.flags import Parsed

VARIABLES = {
    "dir": "LADING_ROOT",
    "system-config": "LADING_SYSTEM_CONFIG",
    "local-config": "LADING_CONFIG",
    "user-config": "LADING_USER_CONFIG",
}


def choose(parsed: Parsed) -> None:
    """Take the directories that the flags before and behind the verb name, and the one for data that a file names.

    Raises :class:`UsageError`, :class:`InvalidInput` for a file that is broken.
    """
    for flag, variable in VARIABLES.items():
        values = (parsed.values.get(flag), parsed.globals.get(flag))
        for path in values:
            if path is not None and not path:
                raise UsageError(f"--{flag}: the name of the directory is empty")
        given = next((path for path in values if path is not None), None)
        if given is None:
            continue
        if flag != "dir" and not os.path.isdir(given):
            raise InvalidInput(f"--{flag} {given}: there is no such directory")
        if flag == "dir" and parsed.globals.get("root"):
            raise UsageError("--dir and --root both say where things are kept: one is enough")
        os.environ[variable] = os.path.abspath(given)
    if os.environ.get("LADING_ROOT") or parsed.globals.get("root"):
        return
    config = Roots.default().config
    if any(os.path.isdir(f"{layer}/paths.d") for layer in config_layers(config)):
        from lading.images.aci.configured import data_directory

        data = data_directory(config)
        if data:
            os.environ["LADING_ROOT"] = os.path.normpath(data)
