"""Compare the records with the machine, across all rooms, and finish what a ``kill -9`` interrupted.

What is on the machine is always looked at before the records are: a thing is only taken for lost when the record that
must have been written before it is not there afterwards. Every repair can be interrupted and done again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from lading.errors import Conflict, Exhausted, LadingError, NotFound
from lading.kernel import clearing, tree
from lading.node import ending, freezing, idranges, lookup, memory, releasing, remove, room, sockets
from lading.node.detached import is_running
from lading.node.looking import refresh
from lading.node.model import Finding
from lading.node.records import REMOVING
from lading.node.restart import parse_policy
from lading.node.shop import alive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.node.model import PodRecord
    from lading.node.shop import Shop

_HEX = frozenset("0123456789abcdef")
#: Seconds for a process that has said that it fails to be gone.
_LEAVING = 5.0


def check(shop: Shop, *, repair: bool) -> list[Finding]:
    """Every difference found; with ``repair`` each is put right (``fixed`` says whether that worked)."""
    checker = _Checker(shop, repair)
    checker.pods()
    checker.leftovers()
    checker.rooms()
    return checker.findings


def unkept(shop: Shop, record: PodRecord) -> None:
    """What repair does for one pod whose keeper is gone: a new keeper for what runs, an end in the records for the rest."""
    _Checker(shop, True).unkept(record)


def _is_id(name: str) -> bool:
    return len(name) == 64 and _HEX.issuperset(name)


class _Kind(NamedTuple):
    """Things in a directory, each named by the id of the pod or container that it belongs to."""

    directory: str
    what: str
    fix: str
    drop: Callable[[str], object]
    of_pods: bool = False


class _Checker:
    def __init__(self, shop: Shop, repair: bool) -> None:
        self.shop = shop
        self.repair = repair
        self.findings: list[Finding] = []

    def _found(self, what: str, where: str, fix: str, act: Callable[[], object]) -> None:
        finding = Finding(what=what, where=where, fix=fix)
        self.findings.append(finding)
        if not self.repair:
            return
        try:
            act()
            finding.fixed = True
        except LadingError as error:
            finding.fix += f" (failed: {error})"
        except OSError as error:
            finding.fix += f" (failed: {error.strerror})"

    # -- pods that have a record -----------------------------------------------------------------------------------

    def pods(self) -> None:
        """Pods whose keeper, creator or remover is gone."""
        for listed in self.shop.records.list():
            self._frozen(listed)
            if alive(listed.keeper_pid, listed.keeper_start):
                continue
            # Read again, now that the keeper is known to be gone: it may have finished since it was listed.
            record = self.shop.records.get(listed.id)
            if record is None or alive(record.keeper_pid, record.keeper_start):
                continue
            if lookup.staged(self.shop.records.database, record.id).get(record.id) == REMOVING:
                self._half_removed(record)
            else:
                self.unkept(record)

    def _half_removed(self, record: PodRecord) -> None:
        shop = self.shop

        def finish() -> None:
            releasing.release(shop, record)
            try:
                remove.collect(shop, record, volumes=record.pod.spec.extras.remove)
            except Conflict:
                pass  # another repair is at it

        self._found("a removal that was interrupted", f"pod {record.name}", "finish it", finish)

    def _frozen(self, record: PodRecord) -> None:
        for container in record.containers:
            # Of a container that has ended as well: it may be started again below.
            if freezing.abandoned(self.shop, record, container):
                self._found(
                    "a container was frozen by a command that was killed",
                    f"container {record.name if record.single else container.name}",
                    "let it run on",
                    partial(freezing.recover, self.shop, record, container),
                )

    def unkept(self, record: PodRecord) -> None:
        """Of one pod whose keeper does not live."""
        if record.keeper_pid == 0:
            return  # created or ended in good order
        where = f"pod {record.name}"
        if is_running(record):
            what = "a pod runs and its keeper was killed"
            self._found(what, where, "give it a new keeper", lambda: self._adopt(record))
            return
        again = self._restarts(record)
        what = "a pod whose keeper was killed"
        fix = "start it again, as it asks" if again else "record its end"
        self._found(what, where, fix, lambda: self._settle(record, again))

    def _settle(self, record: PodRecord, again: bool) -> None:
        try:
            settled = ending.settle(self.shop, record)
        except Exhausted:
            unwanted = record.pod.spec.extras.remove and room.make(self.shop, record)
            if not (self.shop.records.database.make_room() or unwanted):
                raise
            settled = ending.settle(self.shop, record)
        if again and not settled.pod.spec.extras.remove:
            from lading.node import detached

            detached.start(self.shop, record.id)

    def _adopt(self, record: PodRecord) -> None:
        from lading.node import detached

        try:
            detached.adopt(self.shop, record)
        except LadingError:
            # A process that was being killed with the keeper may have come to its end only now.
            end = time.monotonic() + _LEAVING
            while (found := self.shop.records.get(record.id)) and alive(found.keeper_pid, found.keeper_start):
                if time.monotonic() > end:
                    return  # not the keeper that failed, on its way out, but one that somebody else gave it
                time.sleep(0.01)
            if found is None:
                return
            if is_running(found):
                raise
            self._settle(found, self._restarts(found))

    def _restarts(self, record: PodRecord) -> bool:
        if record.stopped or record.container.started == 0.0:
            return False
        if record.single:
            policy = parse_policy(record.pod.spec.containers[0].extras.restart or "no")
            code = refresh(record).container.exit_code
            return policy.wants(code or 255, record.container.restarts)
        wanted = record.pod.spec.restart_policy
        return any((c.restart_policy or wanted) == "Always" for c in record.pod.spec.containers)

    # -- things without a record -----------------------------------------------------------------------------------

    def leftovers(self) -> None:
        """Directories, mounts, sockets, runtime states and control groups that no record speaks of.

        Looked at before the records and after: who removes a pod forgets its record last, when all this is gone.
        """
        roots = self.shop.roots
        seen = [(kind, _names(kind.directory)) for kind in self._kinds()]
        sockets = _names(roots.keepers)
        groups = self._groups()
        stages = lookup.staged(self.shop.records.database)
        containers = lookup.container_ids(self.shop.records.database)
        for kind, names in seen:
            recorded = stages if kind.of_pods else containers
            for name in names:
                path = f"{kind.directory}/{name}"
                if name not in recorded and (kind.of_pods or _is_id(name)) and os.path.lexists(path):
                    self._found(kind.what, path, kind.fix, partial(kind.drop, name))
        for name in sockets:
            self._socket(f"{roots.keepers}/{name}")
        for pod_id, first in idranges.strays(self.shop.records.database):
            self._found(
                "a range of users that no pod has",
                f"users {first} to {first + idranges.SIZE - 1}",
                "give it back",
                partial(idranges.give_back, self.shop.records.database, pod_id),
            )
        for path, directory in groups.items():
            identity = path.rpartition("/")[2].removeprefix("pod-")
            if identity not in containers and identity not in stages and os.path.lexists(directory):
                self._found(
                    "a control group that no record speaks of",
                    directory,
                    "end what is in it and remove it",
                    partial(self._drop_group, path),
                )

    def _kinds(self) -> list[_Kind]:
        roots = self.shop.roots
        end = "end it and remove its state"
        return [
            _Kind(roots.runtime, "a container that no record speaks of", end, self._drop_runtime),
            _Kind(
                roots.bundles,
                "a foreign runtime's container that no record speaks of",
                end,
                self._drop_bundle,
            ),
            _Kind(
                roots.pods,
                "files of a pod that no record speaks of",
                "remove them",
                lambda name: clearing.clear(self.shop.kernel, f"{roots.pods}/{name}"),
                of_pods=True,
            ),
            _Kind(
                f"{roots.run}/pods",
                "memory volumes of a pod that no record speaks of",
                "unmount them",
                lambda name: memory.unmount_all(self.shop, name),
                of_pods=True,
            ),
        ]

    def _drop_runtime(self, name: str) -> None:
        try:
            self.shop.runtime.get(name).delete(force=True)
        except NotFound:
            tree.remove(f"{self.shop.roots.runtime}/{name}")

    def _drop_bundle(self, name: str) -> None:
        from lading.node.foreign import orphan

        orphan(self.shop.roots.bundles, name, self.shop.kernel).delete(force=True)

    def _socket(self, path: str) -> None:
        try:
            sockets.connect(path).close()
        except NotFound:
            # Bound and not yet listened on, or gone since: whoever made it a moment ago is not disturbed.
            try:
                info = os.lstat(path)
            except FileNotFoundError:
                return
            prefix = path.rpartition("/")[2]
            rows = self.shop.records.database.query(
                "SELECT keeper_pid, keeper_start FROM pods WHERE id >= ? AND id < ?", (prefix, prefix + "g")
            )
            if any(alive(pid, start) for pid, start in rows):
                return

            def unlink() -> None:
                if os.lstat(path).st_ino == info.st_ino:
                    os.unlink(path)

            self._found("the socket of a keeper that is gone", path, "remove it", unlink)

    def _groups(self) -> dict[str, str]:
        """Path of each of our groups → one directory of it."""
        from lading.kernel.cgroups import detect

        layout = detect()
        hierarchies = list(layout.v1.values()) + ([layout.unified] if layout.unified is not None else [])
        found: dict[str, str] = {}
        base = f"/{self.shop.roots.tag}"
        for hierarchy in hierarchies:
            directory = hierarchy.directory(base)
            for name in _names(directory):
                if _is_id(name):
                    found.setdefault(f"{base}/{name}", f"{directory}/{name}")
                elif name.startswith("pod-") and _is_id(name[4:]):
                    found.setdefault(f"{base}/{name}", f"{directory}/{name}")
                    for inner in _names(f"{directory}/{name}"):
                        if _is_id(inner):
                            found.setdefault(f"{base}/{name}/{inner}", f"{directory}/{name}/{inner}")
        # The deepest first: a group with children cannot be removed.
        return dict(sorted(found.items(), key=lambda item: -item[0].count("/")))

    def _drop_group(self, path: str) -> None:
        from lading.kernel.cgroups import manager

        manager(path).kill()
        releasing.drop_group(path)

    # -- the other rooms -------------------------------------------------------------------------------------------

    def rooms(self) -> None:
        """Networks, images and volumes look after themselves; this gives them what they cannot know."""
        shop = self.shop

        def kept() -> set[str]:
            return {r.id for r in shop.records.list() if r.keeper_pid or is_running(r)}

        for thing in shop.networks.check(repair=self.repair, alive=kept):
            self.findings.append(
                Finding(
                    what=thing.message,
                    where=f"{thing.kind} {thing.object}",
                    fix=thing.fix or ("released" if thing.repaired else "release it"),
                    fixed=thing.repaired,
                )
            )
        for image in shop.images.check(self.repair, verify=False):
            self.findings.append(_adopted(image))
        for volume in shop.volumes.check(self.repair):
            self.findings.append(_adopted(volume))
        anonymous = [v.name for v in shop.volumes.list() if v.anonymous]
        used = lookup.names_using_volume(shop.records.database) if anonymous else {}
        for name in anonymous:
            if name not in used:
                self._found(
                    "an anonymous volume whose container is gone",
                    f"volume {name}",
                    "remove it",
                    partial(shop.volumes.remove, name, force=True),
                )


def _adopted(thing: object) -> Finding:
    """A finding of another room in this one's form."""
    fixed = bool(getattr(thing, "fixed", False) or getattr(thing, "repaired", False))
    what = getattr(thing, "what", "") or getattr(thing, "problem", "")
    where = getattr(thing, "where", "") or getattr(thing, "object", "")
    return Finding(
        what=str(what),
        where=str(where),
        fix=str(getattr(thing, "fix", "") or ("repaired" if fixed else "repair it")),
        fixed=fixed,
    )


def _names(directory: str) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return []
