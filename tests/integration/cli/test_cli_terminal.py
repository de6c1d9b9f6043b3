"""A container in the user's terminal: size, raw keys, resize, detach, and the terminal as it was before."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.root


class Screen:
    """A command on a terminal of its own."""

    def __init__(self, lading, *words: str, rows: int = 31, columns: int = 97) -> None:  # type: ignore[no-untyped-def]
        self.master, self.slave = pty.openpty()
        self.resize(rows, columns)
        self.before = termios.tcgetattr(self.slave)
        self.process = subprocess.Popen(
            lading.argv(words),
            env=lading.env,
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        self.seen = b""

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, data: bytes) -> None:
        os.write(self.master, data)

    def until(self, text: bytes, timeout: float = 60) -> bytes:
        """Read until ``text`` is seen after what was seen before; everything up to it."""
        deadline = time.monotonic() + timeout
        while text not in self.seen:
            left = deadline - time.monotonic()
            assert left > 0, f"{text!r} did not come: {self.seen!r}"
            if select.select([self.master], [], [], left)[0]:
                try:
                    self.seen += os.read(self.master, 4096)
                except OSError:
                    break
        assert text in self.seen, f"{text!r} did not come: {self.seen!r}"
        head, _, self.seen = self.seen.partition(text)
        return head + text

    def prompt(self) -> None:
        """Press return until the shell answers: what is typed before the terminal is raw may be lost."""
        deadline = time.monotonic() + 60
        while b"# " not in self.seen:
            assert time.monotonic() < deadline, f"no prompt came: {self.seen!r}"
            self.type(b"\r")
            if select.select([self.master], [], [], 0.2)[0]:
                self.seen += os.read(self.master, 4096)

    def end(self, timeout: float = 60) -> int:
        return self.process.wait(timeout)

    def restored(self) -> bool:
        return termios.tcgetattr(self.slave) == self.before

    def close(self) -> None:
        if self.master < 0:
            return
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)
        self.master = -1


@pytest.fixture
def screen(lading) -> Iterator[object]:  # type: ignore[no-untyped-def]
    made: list[Screen] = []

    def start(*words: str) -> Screen:
        made.append(Screen(lading, *words))
        return made[-1]

    yield start
    for one in made:
        one.close()


def _remove(lading, name: str) -> None:  # type: ignore[no-untyped-def]
    """``rm -f`` while we reap: orphans become the test process's (tests/conftest.py), which is in init's place then.

    A pid namespace ends only when every zombie in it was reaped, those with a parent outside too (pid_namespaces(7)).
    """
    process = subprocess.Popen(lading.argv(["rm", "-f", name]), env=lading.env)
    while process.poll() is None:
        for child in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
            try:
                state = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0]
                if state == "Z" and int(child) != process.pid:
                    os.waitpid(int(child), os.WNOHANG)
            except (FileNotFoundError, ChildProcessError):
                continue
        time.sleep(0.02)
    assert process.returncode == 0


def test_a_shell_has_the_terminals_size_and_follows_it(screen) -> None:  # type: ignore[no-untyped-def]
    one = screen("run", "-it", "--rm", "busybox", "sh")
    one.until(b"# ")
    one.type(b"stty size\r")
    one.until(b"31 97")
    one.resize(40, 120)
    one.type(b"until stty size | grep '40 120'; do sleep 0.1; done\r")
    one.until(b"\n40 120")
    one.type(b"exit 7\r")
    assert one.end() == 7
    assert one.restored()


def test_ctrl_c_goes_to_the_container_and_not_to_lading(screen) -> None:  # type: ignore[no-untyped-def]
    one = screen("run", "-it", "--rm", "busybox", "sh")
    one.until(b"# ")
    # Said by the job itself, which has the terminal by then: the shell's own echo would be a moment too early.
    one.type(b"sh -c 'echo go\"\"ing; exec sleep 600'; echo after $?\r")
    one.until(b"going")
    one.type(b"\x03")
    one.until(b"# ")
    one.type(b"echo al''ive\r")
    one.until(b"alive")
    # Typed before the shell reads, the end of input would be lost when it goes into raw mode.
    one.until(b"# ")
    one.type(b"\x04")
    assert one.end() in (0, 130)
    assert one.restored()


def test_detach_keys_leave_it_running_and_attach_comes_back(lading, screen) -> None:  # type: ignore[no-untyped-def]
    one = screen("run", "-it", "--name", "stay", "busybox", "sh")
    one.until(b"# ")
    one.type(b"\x10\x11")
    assert one.end() == 0
    assert one.restored()
    assert lading.out("ps", "--format", "{names}") == "stay"
    again = screen("attach", "stay")
    again.prompt()
    again.type(b"echo ba''ck\r")
    again.until(b"back")
    again.type(b"exit 5\r")
    assert again.end() == 5
    assert again.restored()
    lading("rm", "stay", check=True)


def test_exec_has_a_terminal_and_keys_of_its_own(lading, screen) -> None:  # type: ignore[no-untyped-def]
    lading("run", "-d", "--name", "host1", "busybox", "sleep", "600", check=True)
    one = screen("exec", "-it", "host1", "sh")
    one.until(b"# ")
    one.type(b"stty size\r")
    one.until(b"31 97")
    one.type(b"exit 4\r")
    assert one.end() == 4
    two = screen("exec", "-it", "--detach-keys", "ctrl-a,x", "host1", "sh", "-c", "echo ready; exec cat")
    two.until(b"ready")
    two.type(b"abc\r")
    two.until(b"abc")
    two.type(b"\x01x")
    assert two.end() == 0
    assert two.restored()
    two.close()
    _remove(lading, "host1")


def test_a_hang_up_ends_lading_and_not_the_container(lading, screen) -> None:  # type: ignore[no-untyped-def]
    one = screen("run", "-it", "--name", "hup", "busybox", "sh")
    one.until(b"# ")
    one.process.send_signal(signal.SIGTERM)
    assert one.end() == 128 + signal.SIGTERM
    assert one.restored()
    assert lading.out("ps", "--format", "{names}") == "hup"
    lading("rm", "-f", "hup", check=True)


@pytest.mark.parametrize("words", [["login", "localhost:1"], ["login", "-u", "somebody", "localhost:1"]])
def test_ctrl_d_at_a_question_of_login_is_no_answer(screen, words: list[str]) -> None:  # type: ignore[no-untyped-def]
    one = screen(*words)
    one.until(b"localhost:1: ")
    one.type(b"\x04")
    assert b"internal error" not in one.until(b"a user name and a password are needed")
    assert one.end() == 1
    assert one.restored()


def test_a_terminal_is_asked_for_where_there_is_none(lading) -> None:  # type: ignore[no-untyped-def]
    done = lading("run", "-it", "--rm", "busybox", "true")
    assert done.returncode == 125
    assert "not a terminal" in done.stderr
    assert lading.out("ps", "-aq") == ""


def test_ctrl_c_reaches_a_container_without_a_terminal(screen) -> None:  # type: ignore[no-untyped-def]
    one = screen(
        "run",
        "--rm",
        "busybox",
        "sh",
        "-c",
        'trap "echo caught; exit 3" INT; echo up; while :; do sleep 0.1; done',
    )
    one.until(b"up")
    one.type(b"\x03")
    one.until(b"caught")
    assert one.end() == 3
