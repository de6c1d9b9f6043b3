"""A keeper for many pods: ``python -m lading.node.keeper --socket PATH``.

For servers, which must not fork their large threaded selves: they ask this process over a Unix socket (the requests are
in :mod:`lading.node.desk`). It outlives them; a new server finds it, and its pods, at the same socket. SIGTERM ends every
pod in good order and then the keeper.
"""

from __future__ import annotations

import os
import sys

from lading.errors import Conflict, InvalidInput, LadingError, NotFound
from lading.node import wire
from lading.node.desk import Desk
from lading.node.loop import Loop
from lading.node.shop import Shop
from lading.roots import Roots

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.node.runner import PodRunner


def serve(shop: Shop, socket: str) -> None:
    """Keep pods until told to end. Raises :class:`Conflict` when another keeper answers at ``socket``."""
    try:
        wire.connect(socket).close()
    except NotFound:
        pass
    else:
        raise Conflict(f"a keeper listens at {socket} already")
    loop = Loop()
    runners: dict[str, PodRunner] = {}
    listener = wire.listen(socket)
    desk = Desk(shop, loop, runners, many=True, socket=socket)
    loop.watch(listener.fileno(), lambda _events: desk.accept(listener))
    ending: list[bool] = []
    _on_term(loop, runners, ending)
    from lading.node.detached import slim

    # Loaded before the first pod, so that every pod costs only its own.
    from lading.node import adopting, lifecycle, prepare, sandbox, spec  # noqa: F401  isort: skip

    slim(shop)
    loop.run(lambda: bool(ending) and not runners)
    loop.forget(listener.fileno())
    listener.close()
    os.unlink(socket)


def _on_term(loop: Loop, runners: dict[str, PodRunner], ending: list[bool]) -> None:
    import _signal  # type: ignore[import-not-found]

    def stop_all() -> None:
        ending.append(True)
        for runner in list(runners.values()):
            runner.stop()

    for number in (1, 2, 13):
        _signal.signal(number, _signal.SIG_IGN)
    loop.on_signal(15, stop_all)


def main(arguments: list[str]) -> int:
    """The command line: ``--socket PATH`` and the roots from the environment."""
    try:
        if len(arguments) != 2 or arguments[0] != "--socket":
            raise InvalidInput("usage: python -m lading.node.keeper --socket PATH")
        serve(Shop(Roots.default()), os.path.abspath(arguments[1]))
    except LadingError as error:
        print(f"lading keeper: {error}", file=sys.stderr)
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
