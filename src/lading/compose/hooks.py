"""``post_start`` and ``pre_stop``: commands that are run in a container after its start, and before it is asked to stop.

Source: Compose specification, "post_start", "pre_stop".
"""

from __future__ import annotations

from lading.errors import LadingError
from lading.node import ExecRequest, Stdio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lading.formats.compose.model_service import Hook
    from lading.node import Node


def carry_out(node: Node, name: str, hooks: Sequence[Hook], what: str) -> None:
    """Run the hooks one after the other. Raises :class:`LadingError` when one fails."""
    for index, hook in enumerate(hooks):
        command = list(hook.command or ())
        request = ExecRequest(
            command=command,
            env=[f"{k}={v}" for k, v in hook.environment.items() if v is not None],
            user=hook.user,
            working_dir=hook.working_dir,
            privileged=hook.privileged,
        )
        session = node.exec(name, request, Stdio(stdin=-1, stdout=2, stderr=2))
        if session.filenos():
            from lading.node.session import pump

            status = pump(session, -1, 2, 2) or 0
        else:
            status = session.wait()
        if status:
            raise LadingError(
                f"container {name}: {what}[{index}] {command[0]} ended with {status}", reason="hook"
            )
