"""The environment of an app's processes and of its event handlers.

Source: spec/ace.md, "Execution Environment". An image that brings a ``PATH`` of its own keeps it, as under Rocket; what the
executor alone can know is always the executor's.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.formats.appc.app import App

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
APP_NAME, METADATA_URL, CONTAINER = "AC_APP_NAME", "AC_METADATA_URL", "container"


def environment(app: App, *, name: str, metadata_url: str = "", container: str = "lading") -> dict[str, str]:
    """Variables by name. ``name`` is the app's in its pod; without a metadata service ``AC_METADATA_URL`` is not set."""
    made = {"PATH": PATH}
    made.update((variable.name, variable.value) for variable in app.environment)
    made[APP_NAME] = name
    made[CONTAINER] = container
    if metadata_url:
        made[METADATA_URL] = metadata_url
    else:
        made.pop(METADATA_URL, None)
    return made
