"""``--cap-add``, ``--cap-drop`` and ``--security-opt`` to a Pod. Pure; see :mod:`lading.cli.translate_rights`."""

from __future__ import annotations

from lading.errors import InvalidInput, Unsupported
from lading.formats.capnames import NAMES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.formats.pod import ContainerExtras


def capability(text: str, flag: str) -> str:
    """``NET_ADMIN`` of ``net_admin`` or ``CAP_NET_ADMIN``; ``ALL``. Raises :class:`InvalidInput`."""
    name = text.upper().removeprefix("CAP_")
    if not name.replace("_", "").isalnum():
        raise InvalidInput(f"{flag} {text!r} is not a capability", hint="see capabilities(7)")
    if name != "ALL" and name not in NAMES:
        raise InvalidInput(
            f"{flag} {text!r} is not a capability this version knows", hint="see capabilities(7)"
        )
    return name


def security_option(text: str, extras: ContainerExtras) -> None:
    """One option into ``extras``. Raises :class:`InvalidInput` and :class:`Unsupported`."""
    key, mark, value = text.partition("=")
    if not mark:
        key, mark, value = text.partition(":")
    if key == "no-new-privileges":
        if value not in ("", "true", "false"):
            raise InvalidInput(f"--security-opt {text!r}: {value!r} is not true or false")
        extras.no_new_privileges = value != "false"
    elif key == "seccomp" and value:
        extras.seccomp = "" if value == "builtin" else value
    elif key == "apparmor" and value:
        if value != "unconfined":
            raise Unsupported(
                f"--security-opt {text}: AppArmor profiles are not supported: containers run unconfined"
            )
        extras.apparmor = value
    elif key == "label" and value:
        if value != "disable":
            raise Unsupported(f"--security-opt {text}: SELinux labels are not supported")
        extras.selinux = [*extras.selinux, value]
    elif key == "systempaths" and value == "unconfined":
        extras.unmask = ["ALL"]
    elif key == "unmask" and value:
        extras.unmask = [*extras.unmask, *value.split(":")]
    elif key in ("mask", "proc-opts", "writable-cgroups", "credentialspec"):
        raise Unsupported(f"--security-opt {key} is not supported")
    else:
        raise InvalidInput(
            f"--security-opt {text!r} is unknown",
            hint="the options are no-new-privileges, seccomp=, apparmor=, label=, systempaths=unconfined and unmask=",
        )
