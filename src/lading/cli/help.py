"""``lading`` alone, and ``--help`` of every command."""

from __future__ import annotations

from lading.flaghelp import help_text
from lading.flags import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Start here", ("bootstrap", "pull", "run", "ps", "logs", "exec", "stop", "rm")),
    (
        "Containers",
        tuple(
            "create start restart kill wait attach inspect top stats port cp diff commit export "
            "pause unpause rename update".split()
        ),
    ),
    (
        "Images",
        tuple(
            "build builder images push tag rmi prune history save load import login logout registry aci trust".split()
        ),
    ),
    ("Pods, networks, volumes", ("pod", "compose", "rkt", "network", "volume")),
    ("This machine", ("system", "events", "info", "version", "check", "completion")),
)

EXAMPLES = """\
Examples:
  lading bootstrap busybox                   make a tiny image from Debian packages
  lading run --rm busybox echo hello         run a command and clean up after it
  lading run -it --rm busybox                a shell in a container
  lading run -d --name web -p 8080:80 nginx  a server in the background, on port 8080
  lading logs -f web                         follow what it says
  lading build -t app .                      build an image from a Dockerfile
  lading pod run pod.yaml                    run a Kubernetes Pod
  lading compose up                          run the application of a Compose file
"""


def overview(root: Command) -> str:
    """The first page: what Lading is, its commands by purpose, and how to begin."""
    known = {c.name: c for c in root.commands}
    parts = [
        "lading runs containers and pods from open images.\n",
        "Usage: lading [OPTIONS] COMMAND\n",
        EXAMPLES,
    ]
    for title, names in GROUPS:
        rows = [f"  {name:<12}{known[name].summary}" for name in names if name in known]
        parts.append(f"{title}:\n" + "\n".join(rows) + "\n")
    parts.append(_options(root))
    parts.append("See 'lading COMMAND --help' for one command.\n")
    return "\n".join(parts)


def _options(root: Command) -> str:
    bare = Command(root.name, flags=root.flags)
    return help_text((bare,)).partition("\n\n")[2]


def show(path: Sequence[Command]) -> None:
    """Print the help of ``path[-1]``."""
    print(overview(path[0]) if len(path) == 1 else help_text(tuple(path)), end="")
