"""A keeper for many pods: ``python -m lading.node.keeper --socket PATH [--hands N]``.

For servers, which must not fork their large threaded selves: they ask these processes over a Unix socket (the requests
are in :mod:`lading.node.desk`). They outlive the server; a new one finds them, and its pods, at the same socket. SIGTERM
ends every pod in good order and then the keeper. What runs is a family of processes: :mod:`lading.node.front`.
"""

from __future__ import annotations

import os
import sys

from lading.errors import InvalidInput, LadingError
from lading.node import front
from lading.node.shop import Shop
from lading.roots import Roots

_USAGE = "usage: python -m lading.node.keeper --socket PATH [--hands N]"
_MOST_HANDS = 64


def _arguments(arguments: list[str]) -> tuple[str, int]:
    socket, hands = "", front.default_hands()
    rest = iter(arguments)
    for name in rest:
        value = next(rest, "")
        if name == "--socket" and value:
            socket = os.path.abspath(value)
        elif name == "--hands" and value.isdigit() and 1 <= int(value) <= _MOST_HANDS:
            hands = int(value)
        else:
            raise InvalidInput(f"{name} {value}".rstrip() + f": {_USAGE}; 1 to {_MOST_HANDS} hands")
    if not socket:
        raise InvalidInput(_USAGE)
    return socket, hands


def main(arguments: list[str]) -> int:
    """The command line; the roots come from the environment."""
    import _signal  # type: ignore[import-not-found]

    # As the lading command does: execve(2) hands down what a caller ignores, blocks and masks.
    _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
    os.umask(0o022)
    try:
        socket, hands = _arguments(arguments)
        front.Front(Shop(Roots.default()), socket, hands).run()
    except LadingError as error:
        print(f"lading keeper: {error}", file=sys.stderr)
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
