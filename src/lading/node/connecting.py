"""Connect a container that exists to a network, and take it off one: in its Pod, and where it runs in its namespace.

A running pod's network belongs to its keeper, so the keeper does it: it holds the namespace and the published ports, and
nothing else of the pod happens meanwhile. The Pod is changed first. A keeper killed after that leaves a difference that
``check --repair`` finishes (:mod:`lading.node.adopting`), and the next start takes the Pod as it stands.
"""

from __future__ import annotations

import contextlib
import os
import time

from lading.errors import Conflict, InvalidInput, LadingError, NotFound
from lading.formats.pod import NetworkRequest
from lading.node import amending, podnetwork, sandbox, sockets, wire
from lading.node.shop import alive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.formats.pod import PodExtras
    from lading.node.model import PodRecord
    from lading.node.runner import PodRunner
    from lading.node.shop import Shop

#: ``network_mode`` of a pod that was taken off its last network: loopback alone until it is connected again.
DISCONNECTED = "disconnected"
_DEFAULT = ("bridge", "default", "lading")
_PATIENCE = 30.0
_FILE_LIMIT = 1 << 20


def connect(shop: Shop, reference: str, want: NetworkRequest) -> None:
    """Connect a pod, running or not. :class:`Conflict` when it is on that network, or in a mode that forbids it."""
    _change(shop, reference, {"op": "connect", "network": want.encode()})


def disconnect(shop: Shop, reference: str, network: str, *, force: bool = False) -> None:
    """Take a pod off a network. ``force`` also where its keeper is gone, and what cannot be undone is left to repair."""
    _change(shop, reference, {"op": "disconnect", "network": network, "force": force})


def _change(shop: Shop, reference: str, request: dict[str, object]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        record, container = shop.records.resolve(reference)
        if container is not None and not record.single:
            raise InvalidInput(
                f"{reference} is a container of pod {record.name}, whose containers share one network",
                hint=f"name the pod: {record.name}",
            )
        edit(shop, record.pod.spec.extras, record, request)  # refused here, in words of the command's own
        if not alive(record.keeper_pid, record.keeper_start):
            if _stopped(shop, record, request):
                return
        elif _ask_keeper(record, request):
            return
        # Its keeper came or went in between: look again.
        if time.monotonic() > deadline:
            raise Conflict(f"container {record.name} keeps starting and ending", hint="try again")
        time.sleep(0.01)


def _stopped(shop: Shop, record: PodRecord, request: dict[str, object]) -> bool:
    """Change the Pod of one that nobody keeps. False when somebody does by now."""
    with shop.records.database:
        found = shop.records.get(record.id)
        if found is None:
            raise NotFound(f"no such container or pod: {record.name}")
        if alive(found.keeper_pid, found.keeper_start):
            return False
        running = [c for c in found.containers if alive(c.pid, c.pid_start)]
        if running and not request.get("force"):
            raise Conflict(
                f"container {found.name}: its keeper is gone",
                hint="run lading check --repair first",
                reason="keeper-lost",
            )
        edit(shop, found.pod.spec.extras, found, request)
        amending.set_pod(shop.records, found, str(request["op"]))
        if not running:
            names = {_inner(n.name) for n in _wanted(found.pod.spec.extras)}
            found.networks = [n for n in found.networks if _inner(n.name) in names]
            shop.records.update(found, "network")
    return True


def _ask_keeper(record: PodRecord, request: dict[str, object]) -> bool:
    try:
        sock = sockets.connect(record.keeper_socket)
    except NotFound:
        return False
    try:
        wire.ask(sock, {**request, "id": record.id}, within=wire.PATIENCE)
    except NotFound as error:
        if error.reason == "no-keeper":
            return False
        raise
    except LadingError as error:
        if error.reason == "keeper-lost":
            return False
        raise
    finally:
        sock.close()
    return True


# -- the Pod ---------------------------------------------------------------------------------------------------------


def _inner(name: str) -> str:
    return "bridge" if name in _DEFAULT else name


def _wanted(extras: PodExtras) -> list[NetworkRequest]:
    if extras.network_mode:
        return []
    return list(extras.networks) or [NetworkRequest(name="bridge")]


def edit(shop: Shop, extras: PodExtras, record: PodRecord, request: dict[str, object]) -> None:
    """Put the change into ``extras``, or refuse it; nothing of ``extras`` is changed in place."""
    mode = "host" if record.pod.spec.host_network else extras.network_mode
    if mode.startswith(("container:", "ns:")):
        raise Conflict(
            f"container {record.name} uses the network of {mode}, which only its owner changes",
            reason="network-mode",
        )
    if mode == "host":
        raise Conflict(
            f"container {record.name} is on the host's network, which it can neither share nor leave",
            reason="network-mode",
        )
    if request["op"] == "connect":
        _join(shop, extras, record, NetworkRequest.decode(request["network"], where="network"))
    else:
        _leave(extras, record, str(request["network"]))


def _join(shop: Shop, extras: PodExtras, record: PodRecord, want: NetworkRequest) -> None:
    if want.name in ("none", "host"):
        raise Conflict(
            f"a container that exists cannot be connected to network {want.name}", reason="network-mode"
        )
    if extras.network_mode == "none":
        raise Conflict(
            f"container {record.name} is on network none, which goes with no other",
            hint=f"lading network disconnect none {record.name}",
            reason="network-mode",
        )
    network = shop.networks.get("lading" if want.name in _DEFAULT else want.name)
    present = _wanted(extras)
    if any(_inner(n.name) == _inner(want.name) for n in present):
        raise Conflict(
            f"container {record.name} is connected to network {want.name} already", reason="connected"
        )
    if want.aliases and not network.names and network.driver != "cni":
        raise InvalidInput(f"network {want.name} resolves no names, so an alias there means nothing")
    for address, family in ((want.ipv4, "IPv4"), (want.ipv6, "IPv6")):
        if (
            address
            and network.driver == "bridge"
            and not any((":" in s) == (":" in address) for s in network.subnets)
        ):
            raise InvalidInput(
                f"address {address} was asked for, but network {want.name} has no {family} subnet"
            )
    extras.networks = [*present, want.replace(name=_inner(want.name))]
    extras.network_mode = ""


def _leave(extras: PodExtras, record: PodRecord, name: str) -> None:
    if name == "none" and extras.network_mode == "none":
        extras.network_mode = DISCONNECTED
        return
    present = _wanted(extras)
    left = [n for n in present if _inner(n.name) != _inner(name)]
    if len(left) == len(present):
        raise NotFound(f"container {record.name} is not connected to network {name}", reason="not-connected")
    extras.networks = left
    extras.network_mode = "" if left else DISCONNECTED


# -- in the keeper ---------------------------------------------------------------------------------------------------


def in_keeper(runner: PodRunner, request: dict[str, object]) -> None:
    """Change the Pod and the namespace of a pod that this process keeps. A failure puts the Pod back."""
    shop, record = runner.shop, runner.record
    with shop.records.database:
        found = shop.records.get(record.id)
        if found is None:
            raise NotFound(f"no such container or pod: {record.name}")
        before = found.pod.spec.extras.replace()
        edit(shop, found.pod.spec.extras, found, request)
        amending.set_pod(shop.records, found, str(request["op"]))
    try:
        _take(runner, found.pod.spec.extras)
        follow(runner)
    except LadingError:
        _take(runner, before)
        found.pod.spec.extras = before
        amending.set_pod(shop.records, found, f"{request['op']}-failed")
        with contextlib.suppress(LadingError):
            follow(runner)  # usually nothing is left to do; what cannot be done now is repair's
        raise
    finally:
        shop.close()  # what only this needed: a keeper lives long and shall be small


def _take(runner: PodRunner, extras: PodExtras) -> None:
    runner.record.pod.spec.extras.networks = extras.networks
    runner.record.pod.spec.extras.network_mode = extras.network_mode


def follow(runner: PodRunner) -> None:
    """Make a living pod's namespace, files and record what its Pod says of networks."""
    shop, record = runner.shop, runner.record
    request, before = podnetwork.request_of(record), podnetwork.attachment_of(runner)
    if request is None or before is None or before.namespace < 0 or request.mode == "host":
        return
    request.namespace = before.namespace
    after = shop.networks.adjust(request, before.reserved)
    old = sandbox.file_texts(record, before)
    runner.attachment = after
    _rewrite(shop.pod_directory(record.id), old, sandbox.file_texts(record, after))
    podnetwork.note_network(record, after)
    shop.records.update(record, "network")


def _rewrite(directory: str, old: dict[str, str], new: dict[str, str]) -> None:
    """Bring the container's files up to date, in place, for they are mounted one by one.

    ``/etc/hosts`` loses and gains our lines and keeps those that the container wrote; ``/etc/resolv.conf`` is left alone
    once the container has written it.
    """
    for name in old:
        if old[name] == new[name]:
            continue
        try:
            fd = os.open(f"{directory}/{name}", os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            text = os.read(fd, _FILE_LIMIT).decode("utf-8", "surrogateescape")
            if text == old[name]:
                text = new[name]
            elif name == "hosts":
                text = merged(text, old[name], new[name])
            else:
                continue
            data = text.encode("utf-8", "surrogateescape")
            os.pwrite(fd, data, 0)  # before it is cut: a full disk must not leave an empty file
            os.ftruncate(fd, len(data))
        except OSError as error:
            raise LadingError(f"{directory}/{name}: {error.strerror}") from None
        finally:
            os.close(fd)


def merged(text: str, old: str, new: str) -> str:
    """``text`` without the lines that only ``old`` has, and with those that only ``new`` has."""
    before, after = old.splitlines(), new.splitlines()
    lines = [line for line in text.splitlines() if line not in before or line in after]
    lines += [line for line in after if line not in lines and line not in before]
    return "".join(line + "\n" for line in lines)


__all__ = ["DISCONNECTED", "connect", "disconnect", "follow", "in_keeper", "merged"]
