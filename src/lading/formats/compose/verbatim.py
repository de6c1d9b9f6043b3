"""A file's tree whose variables are left as they are, for ``config --no-interpolate``: no records, for what a variable stands for
need not be text.

Source: docker compose's documentation of that flag.
"""

from __future__ import annotations


def named(tree: dict[str, object], project: str) -> dict[str, object]:
    """The tree with what goes without saying: the default network, where nothing else is joined, and every resource's name."""
    services = tree.get("services")
    networks = tree.get("networks")
    networks = dict(networks) if isinstance(networks, dict) else {}
    for service in services.values() if isinstance(services, dict) else ():
        if isinstance(service, dict) and not service.get("networks") and not service.get("network_mode"):
            service["networks"] = {"default": None}
            networks.setdefault("default", None)
    made = {**tree, "name": project}
    if networks:
        made["networks"] = networks
    for section in ("networks", "volumes", "configs", "secrets"):
        entries = made.get(section)
        if isinstance(entries, dict):
            made[section] = {key: _named(key, entry, project) for key, entry in entries.items()}
    return made


def _named(key: str, entry: object, project: str) -> object:
    if entry is not None and not isinstance(entry, dict):
        return entry
    made = dict(entry or {})
    if made.get("name") is None:
        made["name"] = key if made.get("external") is True else f"{project}_{key}"
    return made


def shown(value: object) -> object:
    """The tree in the forms that a file may have: a limit that was one number, rows of hosts."""
    if isinstance(value, list):
        return [shown(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "single" in value and "soft" in value:
        return value["single"]
    made = {key: shown(item) for key, item in sorted(value.items())}
    hosts = made.get("extra_hosts")
    if isinstance(hosts, dict):
        made["extra_hosts"] = sorted(f"{k}={a}" for k, found in hosts.items() for a in found)
    return made
