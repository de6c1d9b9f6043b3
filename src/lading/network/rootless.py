"""Networks of an ordinary user: everything happens in namespaces the user owns, and one program carries the packets out.

*The default network* (driver ``user``): each pod has its own ``pasta`` (or ``slirp4netns``), which holds an ordinary
socket of the user for each connection of the pod. Pods do not see each other there.

*User-defined networks* (driver ``bridge``): one network namespace of the user's plays the host. Bridges, rules and the
resolver live in it exactly as they do on the host for root; ``slirp4netns`` (whose forwarded ports can change while it
runs; ``pasta`` without published ports) is its uplink. It is made with the first pod and goes with the last.

The caller is uid 0 of a user namespace that the user owns (that door is not ours). Both programs must open
``/dev/net/tun``, which udev makes writable for everybody.
"""

from __future__ import annotations

import os
import time
from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_STREAM
from _socket import socket as _RawSocket  # noqa: N812

from lading.errors import Conflict, KernelError, LadingError, NotFound, TimedOut, Unsupported
from lading.formats import jsontext
from lading.kernel import netlink_netns as netns
from lading.kernel.libc import call
from lading.kernel.netlink import Netlink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeVar

    from lading.network.model import PublishedPort
    from lading.network.networks import Networks
    from lading.roots import Roots

    T = TypeVar("T")

ADDRESS, GATEWAY, RESOLVER, PREFIX = "10.0.2.100", "10.0.2.2", "10.0.2.3", 24
_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"
_TUN = "/dev/net/tun"
_PATIENCE = 10.0
_EACCES = 13
_KEPT = 3
_SIGTERM, _SIGKILL, _SIGPIPE = 15, 9, 13
_MS_BIND, _MNT_DETACH = 4096, 2
_OFFLINE_MAC = "52:55:0a:00:02:02"


def program(name: str) -> str:
    """Where a program is; empty when it is nowhere."""
    for directory in (os.environ.get("PATH") or _PATH).split(":"):
        path = f"{directory}/{name}"
        if directory and os.access(path, os.X_OK):
            return path
    return ""


def _missing() -> LadingError:
    return NotFound(
        "neither pasta nor slirp4netns is installed, and an ordinary user's pods reach the network through one of them",
        hint="install the package passt or slirp4netns, or use --network none",
    )


# -- processes that outlive us ---------------------------------------------------------------------------------------


def _directory(roots: Roots) -> str:
    path = roots.run + "/network"
    os.makedirs(path, 0o700, exist_ok=True)
    return path


def _start_time(pid: int) -> str:
    """When a process started, in the kernel's ticks: with its number, a name that is never used twice."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[19].decode()
    except (OSError, IndexError):
        return ""


def _write(path: str, pid: int) -> None:
    fresh = f"{path}.{os.getpid()}"
    with open(fresh, "w") as file:
        file.write(f"{pid} {_start_time(pid)}")
    os.rename(fresh, path)


def _read(path: str) -> int:
    """The process that ``path`` names if it still lives; 0 otherwise."""
    try:
        with open(path) as file:
            number, _, started = file.read().partition(" ")
    except OSError:
        return 0
    if not number.isdigit() or not started or _start_time(int(number)) != started:
        return 0
    return int(number)


def _end(path: str) -> None:
    """End the process that ``path`` names and forget it."""
    pid = _read(path)
    if pid:
        try:
            os.kill(pid, _SIGKILL)
        except ProcessLookupError:
            pass
        try:
            os.waitpid(pid, 0)
        except ChildProcessError:
            pass  # it was another process's child
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def _spawn(command: list[str], log: str, keep: dict[int, int] | None = None) -> int:
    """Start a program in a session of its own, output to ``log``; ``keep`` maps our descriptors to its.

    SIGPIPE gets its default back: the interpreter ignores it, and pasta takes an ignored one for a failure.
    """
    actions: list[tuple[object, ...]] = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    actions += [(os.POSIX_SPAWN_DUP2, ours, its) for ours, its in (keep or {}).items()]
    return os.posix_spawn(
        command[0], command, {"PATH": _PATH}, file_actions=actions, setsid=True, setsigdef=[_SIGPIPE]
    )


def _complaint(log: str) -> str:
    try:
        with open(log, errors="replace") as file:
            lines = [x for x in file.read().splitlines() if x and "syslog" not in x]
    except OSError:
        lines = []
    return lines[-1] if lines else "it gave no reason"


# -- uplinks ---------------------------------------------------------------------------------------------------------


class _Door:
    """A path by which pasta opens a namespace.

    It gives up the capability to look into other processes first, so ``/proc/PID`` of ours is closed to it. Newer
    ones close every inherited descriptor too: a bind mount for a moment serves all, and where mounts are not ours to
    make the inherited descriptor serves the older ones.
    """

    def __init__(self, base: str, namespace: int) -> None:
        self.path = f"/proc/self/fd/{_KEPT}"
        self._mounted = base + ".ns"
        os.close(os.open(self._mounted, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        try:
            source = f"/proc/self/fd/{namespace}".encode()
            call("mount", source, self._mounted.encode(), None, _MS_BIND, None, about=self._mounted)
            self.path = self._mounted
        except KernelError:
            pass

    def close(self) -> None:
        """Take the mount away: who opened it has it."""
        if self.path == self._mounted:
            call("umount2", self._mounted.encode(), _MNT_DETACH, about=self._mounted)
        os.unlink(self._mounted)


def start_uplink(
    roots: Roots, key: str, namespace: int, interface: str, ports: Sequence[PublishedPort], *, changing: bool
) -> None:
    """Connect a namespace to the outside by ``interface``, with ``ports`` forwarded into it.

    ``changing`` uplinks take ports later too (:func:`forward`), which only slirp4netns can.
    """
    names = [n for n in (("slirp4netns", "pasta") if changing else ("pasta", "slirp4netns")) if program(n)]
    if names:
        _check_tun()
    ways = {"pasta": [_start_pasta, _start_offline_pasta], "slirp4netns": [_start_slirp]}
    left = [(name, start) for name in names for start in ways[name]]
    first: LadingError | None = None
    for name, start in left:
        try:
            start(program(name), roots, key, namespace, interface, ports)
        except LadingError as error:
            if error.reason != "uplink":
                raise
            stop_uplink(roots, key)
            first = first or error
        else:
            return
    raise first or _missing()


def _check_tun() -> None:
    """What both programs would fail at, in their own words: "child failed(1)"."""
    try:
        os.close(os.open(_TUN, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        raise LadingError(
            f"an ordinary user's network needs {_TUN}: {os.strerror(error.errno or 0)}",
            hint=f"as root: chmod 666 {_TUN}, as distributions have it; or use the network none or host"
            if error.errno == _EACCES
            else "as root: modprobe tun; or use the network none or host",
            reason="uplink",
        ) from None


def stop_uplink(roots: Roots, key: str) -> None:
    """End the uplink of ``key``, there or not."""
    base = f"{roots.run}/network/{key}"
    for suffix in (".pasta", ".slirp"):
        _end(base + suffix)
    for suffix in (".api", ".log"):
        try:
            os.unlink(base + suffix)
        except FileNotFoundError:
            pass


def _start_offline_pasta(
    path: str, roots: Roots, key: str, namespace: int, interface: str, ports: Sequence[PublishedPort]
) -> None:
    """For a host without a way out, which pasta refuses to copy: the loopback is made to look like one.

    pasta speaks to the host's sockets alone, so it finds the way out when there is one later.
    """
    _start_pasta(path, roots, key, namespace, interface, ports, ("-i", "lo", "-M", _OFFLINE_MAC))


def _start_pasta(
    path: str,
    roots: Roots,
    key: str,
    namespace: int,
    interface: str,
    ports: Sequence[PublishedPort],
    more: Sequence[str] = (),
) -> None:
    base = f"{_directory(roots)}/{key}"
    command = [
        path, "--config-net", "-4", "-q", "-f", "-I", interface, "-a", ADDRESS, "-n", str(PREFIX), "-g", GATEWAY,
        "--dns-forward", RESOLVER, "--no-map-gw", "--netns-only", "-T", "none", "-U", "none", *more,
    ]  # fmt: skip
    for flag, protocol in (("-t", "tcp"), ("-u", "udp")):
        wanted = [p for p in ports if p.protocol == protocol]
        for port in wanted:
            address = "" if port.host_ip in ("", "0.0.0.0") else port.host_ip + "/"
            command += [flag, f"{address}{port.host_port}:{port.container_port}"]
        if not wanted:
            command += [flag, "none"]
    door = _Door(base, namespace)
    try:
        pid = _spawn([*command, "--no-netns-quit", "--netns", door.path], base + ".log", {namespace: _KEPT})
        _write(base + ".pasta", pid)
        _wait_for_address(pid, namespace, interface, "pasta", base + ".log")
    finally:
        door.close()


def _start_slirp(
    path: str, roots: Roots, key: str, namespace: int, interface: str, ports: Sequence[PublishedPort]
) -> None:
    base = f"{_directory(roots)}/{key}"
    try:
        os.unlink(base + ".api")
    except FileNotFoundError:
        pass
    command = [
        path, "--configure", "--mtu=65520", "--disable-host-loopback", "--netns-type=path", "--api-socket=" + base + ".api",
        f"/proc/self/fd/{_KEPT}", interface,
    ]  # fmt: skip
    pid = _spawn(command, base + ".log", {namespace: _KEPT})
    _write(base + ".slirp", pid)
    _wait_for_address(pid, namespace, interface, "slirp4netns", base + ".log")
    forward(roots, key, [(p, p.container_port) for p in ports])


def _wait_for_address(pid: int, namespace: int, interface: str, name: str, log: str) -> None:
    """Until the uplink has set up ``interface``: neither program says so in a way that both versions of it have."""
    from lading.kernel import netlink_route as rt

    deadline = time.monotonic() + _PATIENCE
    with netns.open_route(namespace) as wire:
        while True:
            answer = wire.ask(rt.link_get(interface, ok=(19,)))
            if answer:
                index = rt.Link(answer).index
                routes = [rt.Route(p) for p in wire.dump(rt.routes_get())]
                if any(not r.prefix and r.index == index for r in routes):
                    return
            ended, _status = os.waitpid(pid, os.WNOHANG)
            if ended:
                raise LadingError(f"{name} could not connect the pod: {_complaint(log)}", reason="uplink")
            if time.monotonic() > deadline:
                os.kill(pid, _SIGTERM)
                raise TimedOut(f"{name} did not connect the pod within {_PATIENCE:.0f} s: {_complaint(log)}")
            time.sleep(0.004)


def forward(roots: Roots, key: str, ports: Sequence[tuple[PublishedPort, int]]) -> None:
    """Have a running slirp4netns forward host ports to ports of its namespace."""
    api = f"{roots.run}/network/{key}.api"
    deadline = time.monotonic() + _PATIENCE
    while ports and _read(f"{roots.run}/network/{key}.slirp") and not os.path.exists(api):
        if time.monotonic() > deadline:
            raise TimedOut(f"slirp4netns did not open {api}")
        time.sleep(0.004)  # it opens its socket a moment after the interface is up
    if ports and not os.path.exists(api):
        raise Unsupported(
            "published ports on an ordinary user's own networks need slirp4netns",
            hint="install the package slirp4netns",
        )
    for port, inside in ports:
        if port.protocol == "sctp" or ":" in port.host_ip:
            raise Unsupported(f"slirp4netns does not forward {port.protocol} on {port.host_ip}")
        arguments = {
            "proto": port.protocol,
            "host_addr": port.host_ip or "0.0.0.0",
            "host_port": port.host_port,
            "guest_addr": ADDRESS,
            "guest_port": inside,
        }
        answer = _ask_slirp(api, {"execute": "add_hostfwd", "arguments": arguments})
        if "error" in answer:
            raise Conflict(
                f"host port {port.host_port}/{port.protocol} cannot be forwarded: {answer['error']}"
            )


def withdraw(roots: Roots, key: str, ports: Sequence[PublishedPort]) -> None:
    """Have a running slirp4netns stop forwarding ``ports``; one that it does not know is no error."""
    api = f"{roots.run}/network/{key}.api"
    if not ports or not os.path.exists(api):
        return
    wanted = {(p.protocol, p.host_port, p.host_ip or "0.0.0.0") for p in ports}
    try:
        listed = _ask_slirp(api, {"execute": "list_hostfwd"}).get("return")
        entries = listed.get("entries") if isinstance(listed, dict) else None
        for entry in entries if isinstance(entries, list) else []:
            if (entry["proto"], entry["host_port"], entry["host_addr"]) in wanted:
                _ask_slirp(api, {"execute": "remove_hostfwd", "arguments": {"id": entry["id"]}})
    except OSError:
        pass  # it is gone, and its ports with it


def _ask_slirp(api: str, request: dict[str, object]) -> dict[str, object]:
    wire = _RawSocket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
    try:
        wire.settimeout(_PATIENCE)
        wire.connect(api)
        wire.send(jsontext.dumps(request).encode())
        wire.shutdown(1)
        answer = b""
        while block := wire.recv(65536):
            answer += block
    finally:
        wire.close()
    found = jsontext.loads(answer, what="slirp4netns")
    return found if isinstance(found, dict) else {}


# -- the namespace that plays the host -------------------------------------------------------------------------------


def run_in_place(networks: Networks, work: Callable[[], T], make: bool) -> T | None:
    """Run ``work`` in the namespace that plays the host. None when it is not there and ``make`` is false."""
    if networks.inside:
        return work()
    descriptor = _open(networks, make)
    if descriptor < 0:
        return None

    def there() -> T:
        netns.enter(descriptor)
        networks.inside = True
        networks.use_host(Netlink())
        try:
            return work()
        finally:
            networks.use_host(None)
            networks.inside = False

    try:
        return netns.elsewhere(there)
    finally:
        os.close(descriptor)


def _open(networks: Networks, make: bool) -> int:
    roots = networks.roots
    holder = f"{roots.run}/network/host.holder"
    pid = _read(holder)
    if not pid and make:
        with networks.store:
            pid = _read(holder) or _create(roots, holder)
    return os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC) if pid else -1


def _create(roots: Roots, holder: str) -> int:
    """A namespace that a sleeping process holds, with an uplink."""
    log = _directory(roots) + "/host.log"
    sleep = program("sleep")
    if not sleep:
        raise NotFound("the program sleep is not installed", hint="install the package coreutils")
    stop_uplink(roots, "host")

    def start() -> int:
        from lading.kernel import netlink_route as rt

        with Netlink() as wire:
            wire.run([rt.link_set(1, up=True)])
        return _spawn([sleep, "infinity"], log)

    descriptor, pid = netns.create(start)
    try:
        _write(holder, pid)
        start_uplink(roots, "host", descriptor, "uplink", (), changing=True)
    except BaseException:
        _end(holder)
        raise
    finally:
        os.close(descriptor)
    return pid


def tear_down(roots: Roots) -> None:
    """Take the namespace that plays the host away, with the resolver that lives in it."""
    from lading.network.names import stop_resolver

    stop_resolver(roots)
    stop_uplink(roots, "host")
    _end(f"{roots.run}/network/host.holder")
