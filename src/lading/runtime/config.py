"""``config.json`` as a container keeps it: what it was at creation, whatever becomes of the bundle's."""

from __future__ import annotations

from lading.formats.jsontext import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.formats.oci_runtime import Spec


def text_of(spec: Spec, profile: str = "") -> str:
    """``spec`` as JSON. ``profile`` is its ``linux.seccomp`` as JSON, where the caller has it.

    A profile is nine tenths of a configuration, and one profile serves many containers: it is turned into text once.
    """
    linux = spec.linux
    if not profile or linux is None:
        return dumps(spec.encode())
    rest = dumps(spec.replace(linux=None).encode())
    inner = dumps(linux.replace(seccomp=None).encode())
    comma = "" if inner == "{}" else ","
    return f'{rest[:-1]},"linux":{inner[:-1]}{comma}"seccomp":{profile}}}}}'
