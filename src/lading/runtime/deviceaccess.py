"""OCI ``linux.resources.devices`` as the rules of a control group: what a container asks for, and what every one needs.

Apart from the limits, because every container has device rules and few have limits.
Source: runtime-spec config-linux.md, "Allowed Device list" and "Default Devices".
"""

from __future__ import annotations

from lading.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.formats.oci_runtime import Resources
    from lading.kernel.devicerules import DeviceRule

#: What every container may use besides its own rules: make any node (harmless by itself), and the default
#: nodes.
_ALWAYS = (
    ("c", None, None, "m"),
    ("b", None, None, "m"),
    ("c", 1, 3, "rwm"),  # null
    ("c", 1, 5, "rwm"),  # zero
    ("c", 1, 7, "rwm"),  # full
    ("c", 1, 8, "rwm"),  # random
    ("c", 1, 9, "rwm"),  # urandom
    ("c", 5, 0, "rwm"),  # tty
    ("c", 5, 2, "rwm"),  # ptmx
    ("c", 136, None, "rwm"),  # pts
)


def device_rules(resources: Resources | None) -> list[DeviceRule]:
    """``linux.resources.devices`` and behind them what every container needs. Raises
    :class:`InvalidInput`."""
    from lading.kernel.devicerules import DeviceRule

    rules: list[DeviceRule] = []
    for index, given in enumerate(resources.devices if resources else ()):
        try:
            rules.append(
                DeviceRule(
                    given.allow,
                    given.type or "a",
                    None if given.major == -1 else given.major,
                    None if given.minor == -1 else given.minor,
                    given.access or "rwm",
                )
            )
        except InvalidInput as error:
            raise InvalidInput(f"linux.resources.devices[{index}]: {error.message}") from None
    rules += [DeviceRule(True, kind, major, minor, access) for kind, major, minor, access in _ALWAYS]
    return rules
