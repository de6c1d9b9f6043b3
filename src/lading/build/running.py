"""RUN as a step: its command is a pod on what the steps before gave, and what it wrote is a layer.

The pod is kept by this process, as ``lading run`` keeps one: its limits, its network and its record are those of any pod, and a
build that is killed takes it along. What the command mounts lies in this process's own mount namespace and ends with it.
"""

from __future__ import annotations

from lading.build.bases import PATH
from lading.build.mounting import SCRIPT, Mounting
from lading.build.worker import CommandFailed
from lading.errors import CommandNotExecutable, CommandNotFound
from lading.formats.pod import (
    Container,
    ContainerExtras,
    EnvVar,
    HostAlias,
    ObjectMeta,
    Pod,
    PodExtras,
    PodSpec,
)
from lading.formats.podsecurity import SecurityContext
from lading.images import snapshots

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lading.build.cache import Result
    from lading.build.graph import Op, RunOp, Vertex
    from lading.build.workshop import Workshop
    from lading.images.snapshots import Made

LABEL = "io.lading.build"
_LIMITS = ("memory_swap", "cpu_shares", "cpu_period", "cpu_quota", "cpuset_cpus", "cpuset_mems", "ulimits")
_NETWORKS = {"default": "", "none": "none", "host": "host"}


#: What a command's process imports on its usual way; a build's process does it once for all of them.
_USUAL = """
    build.copying node.births node.copying node.deaths node.dozing node.ending node.etcfiles node.freezing node.layered
    node.ledger node.lifecycle node.logwriter node.lookup node.loop node.machine node.managing node.mountpoints node.names
    node.node node.outlet node.podnetwork node.prepare node.refused node.releasing node.remove node.runner node.running
    node.sandbox node.seccomp_profile node.streams node.wire runtime.channel runtime.command runtime.create runtime.init
    runtime.job runtime.masks runtime.procmounts images.storage kernel.tree kernel.title
"""


def preload() -> None:
    """Import what the processes of RUN steps need, before the first of them is forked."""
    for name in _USUAL.split():
        __import__(f"lading.{name}")


def run(
    workshop: Workshop,
    vertex: Vertex,
    op: RunOp,
    inputs: Sequence[Result],
    given: Sequence[Op],
    out: int,
    err: int,
) -> Made:
    """Carry out RUN. Raises :class:`CommandFailed`, and what starting a pod raises."""
    from lading.node import Node, Stdio

    snapshot = workshop.snapshot(inputs[0])
    os_, _, rest = vertex.platform.partition("/")
    architecture, _, variant = rest.partition("/")
    image = snapshots.image_of(
        workshop.images, snapshot, os_=os_ or "linux", architecture=architecture, variant=variant
    )
    snapshots.record(workshop.images, image, lease=workshop.lease)
    node = Node(workshop.roots)
    with Mounting(workshop, op, inputs, given) as mounting:
        pod = _pod(workshop, op, image.digest, vertex.name)
        mounting.into(pod)
        made: list[str] = []
        try:
            try:
                code = node.run(
                    pod,
                    Stdio(stdin=-1, stdout=out, stderr=err),
                    on_created=lambda record: made.append(record.id),
                )
            except (CommandNotExecutable, CommandNotFound) as error:
                from lading.build import foreign

                raise foreign.explain(error, vertex.platform) from None
            if code:
                raise CommandFailed(f"the command ended with status {code}", code)
            rootfs = node.ended_root(made[0])
            mounting.clean(rootfs)
            return workshop.adopt_files(rootfs)
        finally:
            for record in made:
                node.remove(record, force=True)


def _literal(text: str) -> str:
    """``text`` so that the Pod's ``$(NAME)`` expansion gives it back unchanged."""
    return text.replace("$", "$$") if "$(" in text or "$$" in text else text


def _pod(workshop: Workshop, op: RunOp, image: str, name: str) -> Pod:
    extras = ContainerExtras(
        user=op.user,
        hostname=op.hostname or "build",
        shm_size=op.shm_size,
        entrypoint_given=True,
        cgroup_parent=workshop.settings.cgroup_parent,
        labels={LABEL: name[:200]},
        default_action=True,
    )
    env = list(op.env)
    known = {pair.partition("=")[0] for pair in env}
    env += [pair for pair in op.extra_env if pair.partition("=")[0] not in known]
    if not any(pair.startswith("PATH=") for pair in env):
        env.append(PATH)
    container = Container(
        name="main",
        image=image,
        image_pull_policy="Never",
        command=[SCRIPT] if op.script else [_literal(word) for word in op.args],
        working_dir=op.directory,
        env=[EnvVar(name=n, value=_literal(v)) for n, _, v in (pair.partition("=") for pair in env)],
        extras=extras,
    )
    limits = workshop.settings.limits
    if limits is not None:
        container.resources = limits.resources
        for field in _LIMITS:
            setattr(extras, field, getattr(limits.extras, field))
    if op.security == "insecure":
        container.security_context = SecurityContext(privileged=True)
    spec = PodSpec(
        containers=[container],
        restart_policy="Never",
        termination_grace_period_seconds=0,  # nobody waits for the command of a build that was given up
        extras=PodExtras(container=True, volatile=True, network_mode=_NETWORKS[op.network]),
    )
    if op.network == "host":
        spec.host_network = True
    for line in op.hosts:
        name_, _, address = line.partition("=")
        spec.host_aliases.append(HostAlias(ip=address, hostnames=[name_]))
    return Pod(metadata=ObjectMeta(), spec=spec)
