"""resolv.conf(5), read."""

from __future__ import annotations


def parse(text: str) -> tuple[list[str], list[str], list[str]]:
    """Name servers, search domains and options, as the file orders them; the last ``search`` or ``domain`` line counts."""
    servers: list[str] = []
    searches: list[str] = []
    options: list[str] = []
    for line in text.splitlines():
        words = line.split("#", 1)[0].split(";", 1)[0].split()
        if len(words) < 2:
            continue
        if words[0] == "nameserver":
            servers.append(words[1])
        elif words[0] in ("search", "domain"):
            searches = words[1:]
        elif words[0] == "options":
            options += words[1:]
    return servers, searches, options
