"""The git command, for repositories of strangers: no configuration but ours, no hooks, no questions, no local protocols.

What a repository holds can make git run programs only by configuration (hooks, filters, helpers), and none is read here. The
protocols are those of the network; ``.gitmodules`` cannot ask for others (``GIT_ALLOW_PROTOCOL``).
Source: git(1), gitsubmodules(7), git-config(1) "protocol.allow".
"""

from __future__ import annotations

import os
import selectors
import shutil
import subprocess
import time

from lading.errors import Denied, LadingError, NotFound, RemoteError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lading.build.gitaccess import GitAccess

_PROTOCOLS = "http:https:git:ssh"
_OPTIONS = {
    "advice.detachedHead": "false",
    "core.autocrlf": "false",
    "core.fsmonitor": "false",
    "core.hooksPath": "/dev/null",
    "credential.helper": "",
    "fetch.recurseSubmodules": "false",
    "gc.auto": "0",
    "http.lowSpeedLimit": "1",
    "http.lowSpeedTime": "60",
    "init.defaultBranch": "main",
    "protocol.ext.allow": "never",
    "safe.directory": "*",
    "submodule.recurse": "false",
}
# IdentityFile: keys are those of an agent that was given, never whatever lies in a home.
_SSH = (
    "ssh -F /dev/null -o BatchMode=yes -o ConnectTimeout=30 -o ServerAliveInterval=15 -o StrictHostKeyChecking=yes"
    " -o IdentityFile=none"
)
_KEPT = ("PATH", "TMPDIR", "LD_LIBRARY_PATH", "SOURCE_DATE_EPOCH")
_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "all_proxy")
_SECONDS = 3600
_ROOM = 1 << 24
"""Bytes that git may print. What a server makes it complain of has no end either: of that the last is kept."""
_LAST = 4000


class GitFailed(RemoteError):
    """git ended with an error, whose last words are in the message."""

    reason = "git"


class Git:
    """``agent``: the socket of an SSH agent, or empty. ``access``: what servers are shown and believed; on no command line."""

    def __init__(
        self,
        *,
        agent: str = "",
        access: GitAccess | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        environ = os.environ if environ is None else environ
        self._program = shutil.which("git", path=environ.get("PATH"))
        self._access = access
        self._environ = {name: environ[name] for name in _KEPT if name in environ}
        self._environ |= {name: value for name, value in environ.items() if name.lower() in _PROXIES}
        self._environ |= {
            "GIT_ALLOW_PROTOCOL": _PROTOCOLS,
            "GIT_ASKPASS": "/bin/false",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_SSH_COMMAND": _SSH + _known_hosts(environ.get("HOME", "")),
            "GIT_TERMINAL_PROMPT": "0",
            "HOME": "/nonexistent",
            "LC_ALL": "C",
            "SSH_ASKPASS": "/bin/false",
        }
        if agent:
            self._environ["SSH_AUTH_SOCK"] = agent

    def _environment(self, remote: str, *, local: bool) -> dict[str, str]:
        options = dict(_OPTIONS)
        if remote and self._access is not None:
            options |= self._access.options(remote)
        made = {**self._environ, "GIT_CONFIG_COUNT": str(len(options))}
        for number, (name, value) in enumerate(options.items()):
            made[f"GIT_CONFIG_KEY_{number}"] = name
            made[f"GIT_CONFIG_VALUE_{number}"] = value
        if local:
            made["GIT_ALLOW_PROTOCOL"] = "file"
        return made

    def __call__(
        self, words: Sequence[str], *, directory: str, what: str, remote: str = "", local: bool = False
    ) -> bytes:
        """Run git in ``directory``; what it printed. ``remote``: which server it talks to; ``local``: a path may be fetched from.

        Raises :class:`GitFailed`, :class:`NotFound` (``no-git`` where there is no git; ``not-found``), :class:`Denied`.
        """
        if self._program is None:
            raise NotFound(
                f"{what}: git is not on the PATH",
                hint="install git to build from repositories",
                reason="no-git",
            )
        environ = self._environment(remote, local=local)
        try:
            running = subprocess.Popen(
                [self._program, *words],
                cwd=directory,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                umask=0o022,
            )
        except OSError as error:
            raise LadingError(f"{what}: git cannot be run: {error.strerror}", reason="io") from None
        with running:
            until = time.monotonic() + _SECONDS
            try:
                said, complained = _read(running, until, what)
                running.wait(max(until - time.monotonic(), 0.0))
            except subprocess.TimeoutExpired:
                running.kill()
                raise GitFailed(f"{what}: git took longer than an hour", reason="stalled") from None
            except BaseException:
                running.kill()
                raise
        if running.returncode:
            raise _failure(what, _words(complained) or f"git ended with status {running.returncode}")
        return said


def _read(running: subprocess.Popen[bytes], until: float, what: str) -> tuple[bytes, bytes]:
    """What git prints, and the last of what it complains of."""
    assert running.stdout is not None and running.stderr is not None
    said, complained = bytearray(), bytearray()
    with selectors.DefaultSelector() as open_:
        open_.register(running.stdout, selectors.EVENT_READ, said)
        open_.register(running.stderr, selectors.EVENT_READ, complained)
        while open_.get_map():
            left = until - time.monotonic()
            if left <= 0:
                raise subprocess.TimeoutExpired(running.args, _SECONDS)
            for key, _ in open_.select(left):
                piece = os.read(key.fd, 1 << 16)
                key.data.extend(piece)
                if not piece:
                    open_.unregister(key.fileobj)
            if len(said) > _ROOM:
                raise GitFailed(f"{what}: git prints more than {_ROOM >> 20} MiB", reason="too-large")
            del complained[:-_LAST]
    return bytes(said), bytes(complained)


def _known_hosts(home: str) -> str:
    """ssh's option for the servers that the caller knows: by the user database it would look at another one's in a namespace."""
    if not home.startswith("/") or any(char in home for char in "\"'$\\"):
        return ""
    path = home.replace("%", "%%")
    return f' -o \'UserKnownHostsFile="{path}/.ssh/known_hosts" "{path}/.ssh/known_hosts2"\''


_REASONS: tuple[tuple[str, type[LadingError], str, str, str], ...] = (
    # what git or ssh says; what that is; its reason; what is told instead, if not that itself; what to do
    (
        "could not read Username",
        Denied,
        "unauthorized",
        "the server wants a password or a token that it accepts",
        "give one for its host: --secret id=GIT_AUTH_TOKEN.HOST[:PORT],src=FILE",
    ),
    (
        "Authentication failed",
        Denied,
        "unauthorized",
        "the server does not accept the password or token",
        "look at the secrets GIT_AUTH_TOKEN and GIT_AUTH_HEADER",
    ),
    (
        "Permission denied (",
        Denied,
        "unauthorized",
        "",
        "give an agent or a key that may read it: --ssh default or --ssh default=KEY",
    ),
    (
        "Host key verification failed",
        GitFailed,
        "host-key",
        "",
        "when the server is the right one, put its key into ~/.ssh/known_hosts or /etc/ssh/ssh_known_hosts",
    ),
    (
        "certificate",
        GitFailed,
        "tls",
        "",
        "for a server with an authority of its own put that into certs.d/HOST[:PORT]/ca.crt of the configuration",
    ),
    (
        "returned error: 30",
        GitFailed,
        "redirect",
        "the server redirects, and what was given for it goes nowhere else",
        "name the repository where it is now",
    ),
    ("does not appear to be a git repository", NotFound, "not-found", "there is none", "look at the path in the URL"),
    ("' not found", NotFound, "not-found", "there is none", "look at the URL; where one must log in, a secret is missing"),
)  # fmt: skip


def _failure(what: str, said: str) -> LadingError:
    for words, kind, reason, told, hint in _REASONS:
        if words in said:
            return kind(f"{what}: {told or said}", hint=hint, reason=reason)
    return GitFailed(f"{what}: {said}")


_TELLING = ("fatal:", "error:", "remote:", "ssh:", "Host key")


def _words(stderr: bytes) -> str:
    """What git and ssh say went wrong, on one line and printable."""
    lines = [line.strip() for line in stderr[-_LAST:].decode("utf-8", "replace").splitlines() if line.strip()]
    told = [line for line in lines if line.startswith(_TELLING) or "denied" in line] or lines
    text = "; ".join(list(dict.fromkeys(told))[-4:])
    return "".join(char if char.isprintable() else "?" for char in text)[:700]
