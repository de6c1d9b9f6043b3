"""Which kernel parameters a container may have values of its own for (config-linux.md, "Sysctl")."""

from __future__ import annotations

from lading.errors import InvalidInput

#: Sysctls that belong to a namespace, and to which.
_IPC = (
    "kernel.msgmax kernel.msgmnb kernel.msgmni kernel.sem kernel.shmall kernel.shmmax kernel.shmmni "
    "kernel.shm_rmid_forced"
).split()


def sysctl_path(name: str) -> str:
    """``net.ipv4.conf.eth0/1.forwarding`` → ``net/ipv4/conf/eth0.1/forwarding``: the separator is the first of the two."""
    if "/" in name and ("." not in name or name.index("/") < name.index(".")):
        return name
    return name.translate({ord("."): "/", ord("/"): "."})


def check_sysctl(name: str, namespaces: set[str]) -> None:
    """Refuse a sysctl that is the host's or whose namespace the container shares. ``namespaces``: own ones, spec names."""
    dotted = sysctl_path(name).replace("/", ".")
    if dotted.startswith("net."):
        needed = "network"
    elif dotted in _IPC or dotted.startswith("fs.mqueue."):
        needed = "ipc"
    elif dotted == "kernel.domainname":
        needed = "uts"
    elif dotted == "kernel.hostname":
        raise InvalidInput(f"linux.sysctl: {name}: set the field hostname instead")
    elif dotted.startswith("user."):
        needed = "user"
    else:
        raise InvalidInput(f"linux.sysctl: {name} is not separate for containers: it would change the host")
    if needed not in namespaces:
        raise InvalidInput(f"linux.sysctl: {name} needs the container to have its own {needed} namespace")
