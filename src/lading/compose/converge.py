"""``up`` and ``create``: what the file says, made so, in the order of its dependencies and side by side where there is none.

The parts: images, then networks and volumes, then every Pod translated (a mistake in the file stops here, with nothing of a
container touched), then for each container one task (:mod:`lading.compose.workers`). Each step leaves something that the
next ``up`` goes on from, whatever is killed: see :mod:`lading.compose.plan`.
"""

from __future__ import annotations

import time

from lading.compose import conditions, hashing, imaging, labels, locking, plan, pods, resources, state
from lading.compose.application import with_needs
from lading.compose.workers import Task, run
from lading.errors import InvalidInput, LadingError, NotFound, TimedOut
from lading.formats.compose import shapes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lading.compose.application import Application
    from lading.formats.compose.model import Project
    from lading.formats.pod import BindMount, Pod
    from lading.node import Node, PodRecord


class Wishes:
    """How it is to be done: the flags of ``up``."""

    def __init__(self) -> None:
        self.build = False
        self.no_build = False
        self.pull = "policy"
        self.quiet_pull = False
        self.quiet_build = False
        self.force = False
        self.force_needs = False
        self.keep = False
        self.no_needs = False
        self.start = True
        self.remove_orphans = False
        self.renew_volumes = False
        self.timeout: float | None = None
        self.scale: dict[str, int] = {}
        self.wait_until: float | None = None
        """When waiting for dependencies ends, by the clock of ``time.monotonic``"""


def scales(texts: Sequence[str]) -> dict[str, int]:
    """``SERVICE=N`` rows. Raises :class:`InvalidInput`."""
    made = {}
    for text in texts:
        name, equals, number = text.partition("=")
        if not name or not equals:
            raise InvalidInput(f"{text[:60]!r} is not SERVICE=N")
        made[name] = shapes.whole(number, text[:60])
        if made[name] < 0:
            raise InvalidInput(f"{text[:60]!r}: there cannot be fewer than none")
    return made


class Convergence:
    """One run of it; afterwards ``records`` has the id of every container of the project's services."""

    def __init__(self, app: Application, project: Project, named: Sequence[str], wishes: Wishes) -> None:
        self.app = app
        self.project = project
        self.named = list(named)
        self.wishes = wishes
        self.services = list(named) if wishes.no_needs and named else with_needs(project, named)
        self.files = resources.Files(app, project)
        self.world = pods.World(
            container=lambda name: pods.name_of(project, name, 1),
            file=self.files.path,
            volumes=self._volumes_of,
            free_port=self._free_port,
        )
        self.ids: dict[str, list[str]] = {}
        self.taken: set[tuple[str, int]] = set()

    @property
    def node(self) -> Node:
        """The pods of this machine."""
        return self.app.context.node

    def run(
        self,
        *,
        meanwhile: Callable[[], None] | None = None,
        started: Callable[[str], None] | None = None,
    ) -> None:
        """Carry it out. ``started`` is told the id of every container that runs now, ``meanwhile`` is called on the way."""
        self._scale()
        with locking.Lock(self.app, self.project.name) as lock:
            self._carry_out(lock, meanwhile, started)

    def _carry_out(
        self,
        lock: locking.Lock,
        meanwhile: Callable[[], None] | None,
        started: Callable[[str], None] | None,
    ) -> None:
        state.finish_removals(self.node, self.project.name)
        self.orphans()
        wishes = self.wishes
        digests = imaging.resolve(
            self.app,
            self.project,
            self.services,
            build=wishes.build,
            no_build=wishes.no_build,
            pull=wishes.pull,
            quiet_pull=wishes.quiet_pull,
            quiet_build=wishes.quiet_build,
        )
        resources.networks(self.app, self.project, self.services)
        resources.volumes(self.app, self.project, self.services)
        tasks = self._tasks(digests, started)
        self.files.write()
        run(tasks, limit=self.app.parallel, meanwhile=meanwhile, lock=lock)

    def _scale(self) -> None:
        for name, count in self.wishes.scale.items():
            service = self.project.services.get(name)
            if service is None:
                raise NotFound(f"--scale {name}: there is no such service", reason="no-service")
            if service.container_name and count > 1:
                raise InvalidInput(
                    f"services.{name}.container_name: there cannot be {count} containers of one name"
                )
            service.scale = count
            service.deploy = None if service.deploy is None else service.deploy.replace(replicas=None)

    def orphans(self) -> None:
        """Remove the containers of services that the file does not have, or warn of them."""
        found = [
            m
            for m in state.members(self.node, self.project.name, oneoffs=None)
            if m.service not in self.app.services
        ]
        if not found:
            return
        if self.wishes.remove_orphans or self.app.asked("COMPOSE_REMOVE_ORPHANS"):
            from lading.compose import ending

            ending.remove(self.app, found, timeout=self.wishes.timeout)
        elif not self.app.asked("COMPOSE_IGNORE_ORPHANS"):
            self.app.warn_of_orphans([m.name for m in found])

    # -- what to do -------------------------------------------------------------------------------------------------

    def _tasks(self, digests: Mapping[str, str], started: Callable[[str], None] | None) -> list[Task]:
        there = state.members(self.node, self.project.name)
        tasks: list[Task] = []
        names: dict[str, list[str]] = {}
        anew: set[str] = set()
        for name in self.services:
            names[name] = []
            found = [m for m in there if m.service == name]
            hash_ = hashing.of(self.project, name, self.files)
            force = self.wishes.force and (not self.named or name in self.named or self.wishes.force_needs)
            steps = plan.plan(
                [_found(m) for m in found],
                count=self.project.services[name].replicas,
                hash=hash_,
                image=digests[name],
                force=force or (self.wishes.force_needs and bool(self.named) and name not in self.named),
                keep=self.wishes.keep,
            )
            if any(step.kind == plan.RECREATE for step in steps):
                anew.add(name)
            records = {m.id: m.record for m in found}
            self.ids[name] = []
            cleared: list[str] = []
            for step in steps:
                record = records.get(step.found.id) if step.found is not None else None
                work = self._work(name, step, record, hash_, digests[name], anew)
                task = Task(
                    f"container {step.found.name if step.found else pods.name_of(self.project, name, step.number)}",
                    work,
                    needs=[*cleared, *(t for other in self._needs(name) for t in names.get(other, ()))],
                    ready=self.needs_met(name) if self.wishes.start and step.kind != plan.REMOVE else None,
                    done=self._done(name, step, started),
                )
                names[name].append(task.name)
                tasks.append(task)
                if step.kind == plan.REMOVE:
                    cleared.append(task.name)  # its name and ports are wanted
        return tasks

    def _needs(self, name: str) -> list[str]:
        return [other for other in self.project.services[name].depends_on if other in self.services]

    def needs_met(self, name: str) -> Callable[[], bool] | None:
        """Tells whether what a service depends on is as it wants it, and raises when it never will be; None without any."""
        needs = {k: v for k, v in self.project.services[name].depends_on.items() if k in self.services}
        if not needs:
            return None
        met: set[str] = set()

        def ready() -> bool:
            for other, dependency in needs.items():
                if other in met or dependency.condition == conditions.STARTED:
                    continue
                records = [self.node.inspect(identity) for identity in self.ids[other]]
                try:
                    if not conditions.met(dependency.condition, records):
                        if self.wishes.wait_until is not None and time.monotonic() > self.wishes.wait_until:
                            raise TimedOut(
                                f"{other} did not become what {name} waits for: {dependency.condition}"
                            )
                        return False
                except conditions.Failed as error:
                    if dependency.required:
                        raise self._explained(other, error) from None
                    self.app.warn(f"{other}, which {name} can do without: {error.message}")
                met.add(other)
            return True

        return ready

    def _explained(self, service: str, error: conditions.Failed) -> LadingError:
        """The error with the last lines of the log shown before it."""
        conditions.tell_last_lines(self.app, error, service)
        return conditions.Failed(f"dependency {service} failed: {error.message}")

    def _done(
        self, name: str, step: plan.Step, started: Callable[[str], None] | None
    ) -> Callable[[object], None]:
        def done(result: object) -> None:
            assert isinstance(result, dict)
            identity, said = str(result["id"]), result["said"]
            if step.kind != plan.REMOVE:
                self.ids[name].append(identity)
                if started is not None and self.wishes.start:
                    started(identity)
            self.app.say(f" Container {result['name']}  {said}")

        return done

    # -- doing it: in a process of its own --------------------------------------------------------------------------

    def _work(
        self,
        name: str,
        step: plan.Step,
        record: PodRecord | None,
        hash_: str,
        image: str,
        anew: set[str],
    ) -> Callable[[], object]:
        from lading.compose import carrying

        service = self.project.services[name]
        start = self.wishes.start
        pod: Pod | None = None
        called = pods.name_of(self.project, name, step.number)
        if step.kind in (plan.CREATE, plan.RECREATE):
            pod = self._pod(name, step, record, hash_, image)
        restart = step.kind == plan.KEEP and any(
            d.restart and other in anew for other, d in service.depends_on.items()
        )
        roots = self.app.context.roots
        timeout = self.wishes.timeout

        def work() -> object:
            hand = carrying.Hand(roots, service, timeout, f"services.{name}")
            if step.kind == plan.CREATE:
                assert pod is not None
                return hand.create(pod, start=start)
            assert record is not None
            if step.kind == plan.RECREATE:
                assert pod is not None
                return hand.replace(record, pod, called, start=start)
            if step.kind == plan.REMOVE:
                return hand.remove(record)
            if step.kind == plan.ADOPT:
                return hand.adopt(record, called, start=start)
            return hand.keep(record, start=start, restart=restart)

        return work

    def marks(self, name: str, hash_: str, image: str) -> dict[str, str]:
        """The labels that tell what a container of the service was made of."""
        made = {
            labels.HASH: hash_,
            labels.IMAGE: image,
            labels.FILES: self.app.config_files(),
            labels.DIRECTORY: self.app.directory,
            labels.DEPENDS: ",".join(
                f"{other}:{d.condition}:{str(d.restart).lower()}"
                for other, d in self.project.services[name].depends_on.items()
            ),
        }
        if self.app.env_files:
            made[labels.ENVIRONMENT] = ",".join(self.app.env_files)
        return made

    def _pod(self, name: str, step: plan.Step, record: PodRecord | None, hash_: str, image: str) -> Pod:
        marks = self.marks(name, hash_, image)
        interim, kept = "", {}
        if record is not None:
            marks[labels.REPLACE] = record.id
            interim = plan.interim(pods.name_of(self.project, name, step.number), record.id)
            if not self.wishes.renew_volumes:
                kept = state.anonymous(self.app.context.volumes, record)
        try:
            return pods.pod_of(
                self.project,
                name,
                step.number,
                self.world,
                image=imaging.name_of(self.project, name),
                marks=marks,
                name=interim,
                kept=kept,
            )
        except LadingError as error:
            raise self.app.located(error) from None

    def _volumes_of(self, container: str) -> list[BindMount]:
        """What a container mounts, or will when it is made (``volumes_from``)."""
        try:
            record = self.node.inspect(container)
        except NotFound:
            return self._declared_volumes(container)
        return list(record.pod.spec.containers[0].extras.mounts)

    def _declared_volumes(self, container: str) -> list[BindMount]:
        """What a container that is about to be made will mount, but for what has no name yet."""
        from lading.compose import mounts
        from lading.formats.pod import Container

        for name in self.services:
            if pods.name_of(self.project, name, 1) == container:
                made = Container(name="main")
                mounts.into(self.project, name, made, self.world, {})
                return [mount for mount in made.extras.mounts if mount.source or mount.volume]
        raise NotFound(f"volumes_from: there is no container {container}")

    def _free_port(self, protocol: str, address: str, first: int, last: int) -> int:
        """The first port of a range that is free and was not given out before."""
        from lading.cli.run import free_port

        low = first
        while True:
            port = free_port(protocol, address, low, last)
            if (protocol, port) not in self.taken:
                self.taken.add((protocol, port))
                return port
            low = port + 1
            if low > last:
                return free_port(protocol, address, last + 1, last)


def _found(member: state.Member) -> plan.Found:
    return plan.Found(
        id=member.id,
        name=member.name,
        number=member.number,
        hash=member.labels.get(labels.HASH, ""),
        image=member.labels.get(labels.IMAGE, ""),
        running=member.running,
        replaces=member.labels.get(labels.REPLACE, ""),
    )
