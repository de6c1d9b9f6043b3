"""The message that a container of a pod leaves when it ends (kubernetes.io, "Determine the Reason for Pod Failure")."""

from __future__ import annotations

import os

from lading.formats.oci_runtime import Mount
from lading.node import logfile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.node.runner import PodRunner
    from lading.node.running import Running

#: Bytes of a message, and of all those of one pod, which its containers share alike.
_MESSAGE_LIMIT, _MESSAGES_LIMIT = 4096, 12288
_LOG_LINES, _LOG_BYTES = 80, 2048


def _message_file(runner: PodRunner, running: Running) -> str:
    directory = runner.shop.container_directory(runner.record, running.record)
    return f"{directory}/termination-log"


def mount(runner: PodRunner, running: Running) -> Mount:
    """The file that the container writes its message to, empty by now."""
    path = _message_file(runner, running)
    os.makedirs(os.path.dirname(path), 0o711, exist_ok=True)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        os.fchmod(fd, 0o666)
    finally:
        os.close(fd)
    target = running.container.termination_message_path
    return Mount(destination=target, type="bind", source=path, options=["rbind", "rprivate"])


def message(runner: PodRunner, running: Running) -> str:
    """What an ended container left to say: its message file, else (when asked for and it failed) its last output.

    The end of what is too long.
    """
    limit = min(_MESSAGE_LIMIT, _MESSAGES_LIMIT // len(runner.record.containers))
    try:
        fd = os.open(_message_file(runner, running), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        size = os.fstat(fd).st_size
        text = os.pread(fd, limit, max(0, size - limit)).decode("utf-8", "replace")
    finally:
        os.close(fd)
    if text or running.container.termination_message_policy != "FallbackToLogsOnError":
        return text
    if running.record.exit_code == 0:
        return ""
    path = runner.shop.log_path(runner.record, running.record)
    lines = [line.text for line in logfile.read(path, tail=_LOG_LINES)]
    return b"\n".join(lines)[-min(limit, _LOG_BYTES) :].decode("utf-8", "replace")
