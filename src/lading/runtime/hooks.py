"""Hooks (runtime-spec, config.md "POSIX-platform Hooks"): programs run at fixed points, with the state on stdin."""

from __future__ import annotations

import os

from lading.errors import LadingError, TimedOut
from lading.runtime.command import default_signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lading.formats.oci_runtime import Hook, State
    from lading.kernel import Kernel

_SIGKILL = 9


class HookFailed(LadingError):
    """A hook could not be run, returned non-zero, or was killed."""

    reason = "hook"


def run_all(
    kernel: Kernel,
    kind: str,
    hooks: list[Hook],
    state: State,
    *,
    directory: str = "",
    inherited: dict[bytes, bytes] | None = None,
) -> None:
    """Run ``hooks`` in their order; the first failure stops the list. ``kind`` names the list in errors.

    ``directory``  where they start, this process's own by default; ``inherited`` is the environment of those that name
    none, the runtime's own by default. Neither is in runtime-spec: they are what runc does and hooks rely on.
    """
    if not hooks:
        return
    from lading.formats.jsontext import dumps

    text = dumps(state.encode()).encode()
    for index, hook in enumerate(hooks):
        run(kernel, f"error running {kind} hook #{index}: {hook.path}", hook, text, directory, inherited)


def run(
    kernel: Kernel,
    name: str,
    hook: Hook,
    text: bytes,
    directory: str = "",
    inherited: dict[bytes, bytes] | None = None,
) -> None:
    """Run one hook with ``text`` on its stdin. Raises :class:`HookFailed` and :class:`TimedOut` (after killing it)."""
    # A memfd, not a pipe: nobody has to stand there and write while the hook decides whether to read.
    state_fd = os.memfd_create("state", os.MFD_CLOEXEC)
    os.write(state_fd, text)
    os.lseek(state_fd, 0, os.SEEK_SET)
    error_read, error_write = os.pipe()
    try:
        pid = kernel.fork()
        if pid == 0:
            _become_hook(kernel, hook, state_fd, error_write, directory, inherited)
    except BaseException:
        os.close(error_read)
        raise
    finally:
        os.close(error_write)
        os.close(state_fd)
    try:
        failure = os.read(error_read, 256)
        if failure:
            os.waitpid(pid, 0)
            raise HookFailed(f"{name}: {failure.decode(errors='replace')}")
        status = _wait(kernel, pid, hook.timeout)
    finally:
        os.close(error_read)
    if status is None:
        raise TimedOut(f"{name}: still running after {hook.timeout} s")
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        import _signal  # type: ignore[import-not-found]

        raise HookFailed(f"{name}: killed by signal {-code} ({(_signal.strsignal(-code) or '').lower()})")
    if code:
        raise HookFailed(f"{name}: exit status {code}")


def _become_hook(
    kernel: Kernel,
    hook: Hook,
    state_fd: int,
    error_fd: int,
    directory: str,
    inherited: dict[bytes, bytes] | None,
) -> None:
    try:
        default_signals(kernel)
        os.setsid()
        os.dup2(state_fd, 0)
        if directory:
            os.chdir(directory)
        env: dict[bytes, bytes] = {}
        if not hook.env:
            env = dict(os.environb) if inherited is None else inherited
        for pair in hook.env:
            key, _, value = pair.partition("=")
            env[os.fsencode(key)] = os.fsencode(value)
        os.execve(hook.path, hook.args or [hook.path], env)
    except BaseException as error:
        text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        os.write(error_fd, text.encode()[:256])
    finally:
        os._exit(127)


def run_poststop(
    kernel: Kernel, hooks: list[Hook], state: State, directory: str, warn: Callable[[str], None] | None
) -> None:
    """Run poststop hooks: a failing one is told and the rest still run, the container is gone either way (Lifecycle, 13).

    Without ``warn`` it is told on standard error.
    """
    import sys

    for hook in hooks:
        try:
            run_all(kernel, "poststop", [hook], state, directory=directory)
        except LadingError as error:
            if warn is not None:
                warn(str(error))
            else:
                print(f"warning: {error}", file=sys.stderr)


def _wait(kernel: Kernel, pid: int, timeout: int | None) -> int | None:
    """The wait status, None when ``timeout`` seconds passed; the hook and its session's process are then killed."""
    if timeout is None:
        return os.waitpid(pid, 0)[1]
    import select

    pidfd = kernel.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        if poll.poll(timeout * 1000):
            return os.waitpid(pid, 0)[1]
        try:
            os.killpg(pid, _SIGKILL)
        except OSError:
            os.kill(pid, _SIGKILL)
        os.waitpid(pid, 0)
        return None
    finally:
        os.close(pidfd)
