"""``lading pod …``: Kubernetes Pods on this machine."""

from __future__ import annotations

import sys
import time

from lading.cli.deferred import progress
from lading.cli.output import each, filters, inspected, labels_match, listing, name_fits
from lading.errors import InvalidInput, NotFound, Unsupported
from lading.formats import duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lading.cli.context import Context
    from lading.flags import Parsed
    from lading.formats.pod import Pod
    from lading.node import PodRecord


def _pods(context: Context, parsed: Parsed) -> list[Pod]:
    """The manifest's pods as the flags want them; its claims are volumes when this returns."""
    from lading.cli.manifest import read

    manifest = read(parsed.args[0])
    found = manifest.pods
    for note in manifest.notes:
        print(f"note: {note}", file=sys.stderr)
    if parsed["name"] and len(found) > 1:
        raise InvalidInput(f"--name: {parsed.args[0]} has {len(found)} pods")
    for pod, notes in found:
        for note in notes:
            print(f"{pod.metadata.name or pod.metadata.generate_name}: note: {note}", file=sys.stderr)
        if parsed["name"]:
            from lading.node.admission_report import is_subdomain

            if not is_subdomain(parsed["name"]):
                raise InvalidInput(
                    f"--name {parsed['name']!r} is not lower-case letters, digits, '-' and '.'"
                )
            pod.metadata.name = parsed["name"]
        if not pod.metadata.name:
            import os

            pod.metadata.name = pod.metadata.generate_name + os.urandom(3).hex()[:5]
        if parsed["network"]:
            from lading.cli.translate_network import network_requests

            mode, networks = network_requests(parsed["network"])
            if mode == "host":
                pod.spec.host_network = True
            pod.spec.extras.network_mode, pod.spec.extras.networks = mode, networks
        pod.spec.extras.runtime = parsed["runtime"]
    for claim in manifest.claims:
        try:
            context.node.volumes.get(claim.metadata.name)
        except NotFound:
            context.node.volumes.create(claim.metadata.name, labels=claim.metadata.labels)
    if parsed["replace"]:
        for pod, _ in found:
            _replace(context, pod.metadata.name)
    return [pod for pod, _ in found]


def _replace(context: Context, name: str) -> None:
    """Remove the pod that has this name; a container that has it is somebody else's."""
    try:
        record = context.node.inspect(name)
    except NotFound:
        return
    if record.name == name and not record.single:
        context.node.remove(record.id, force=True)


def run(context: Context, parsed: Parsed) -> int:
    """Create and start the pods of a manifest; print their ids, or stay until they end."""
    pods = _pods(context, parsed)
    if parsed["rm"] or parsed["attach"]:
        if len(pods) > 1:
            raise InvalidInput(f"--rm and --attach take one pod, {parsed.args[0]} has {len(pods)}")
        pods[0].spec.extras.remove = parsed["rm"]
        return context.node.run(pods[0], progress=progress(parsed["quiet"]))
    made: list[PodRecord] = []
    for pod in pods:
        made.append(context.node.run_detached(pod, progress=progress(parsed["quiet"])))
        print(made[-1].id, flush=True)
    return 0


def create(context: Context, parsed: Parsed) -> int:
    """Create the pods of a manifest without starting them."""
    for pod in _pods(context, parsed):
        print(context.node.create(pod, progress=progress(parsed["quiet"])).id, flush=True)
    return 0


def is_pod(context: Context, name: str) -> PodRecord:
    """The pod ``name``, which a manifest made. Raises :class:`NotFound`."""
    if "/" in name:
        raise InvalidInput(
            f"{name!r} names a container, not a pod", hint=f"lading pod takes {name.partition('/')[0]}"
        )
    try:
        record = context.node.inspect(name)
    except NotFound as error:
        raise NotFound(
            f"pod {name} does not exist", hint="see `lading pod ps`", reason=error.reason
        ) from None
    if record.single:
        raise NotFound(
            f"{name} is a container, not a pod", hint=f"use the same command without pod: lading … {name}"
        )
    return record


def start(context: Context, parsed: Parsed) -> int:
    """Start stopped pods."""

    def act(name: str) -> None:
        context.node.start(is_pod(context, name).id)

    return each(parsed.args, act)


def stop(context: Context, parsed: Parsed) -> int:
    """Stop pods."""
    if parsed["signal"]:
        raise Unsupported("--signal is not supported for pods: use lifecycle.stopSignal in the manifest")

    from lading.cli.lifecycle import timeout

    within = timeout(parsed)

    def act(name: str) -> None:
        context.node.stop(is_pod(context, name).id, timeout=within)

    return each(parsed.args, act)


def kill(context: Context, parsed: Parsed) -> int:
    """Send a signal to every container of pods."""
    from lading.formats import signals

    number = signals.number(parsed["signal"])
    return each(parsed.args, lambda name: context.node.kill(is_pod(context, name).id, number))


def rm(context: Context, parsed: Parsed) -> int:
    """Remove pods."""

    def act(name: str) -> None:
        context.node.remove(is_pod(context, name).id, force=parsed["force"], volumes=parsed["volumes"])

    return each(parsed.args, act, may_miss=parsed["force"])


def wait(context: Context, parsed: Parsed) -> int:
    """Wait until pods end; print the exit code of each."""
    return each(parsed.args, lambda name: str(context.node.wait(is_pod(context, name).id)))


POD_COLUMNS = (
    ("POD ID", "id"),
    ("NAME", "name"),
    ("READY", "ready"),
    ("STATUS", "status"),
    ("RESTARTS", "restarts"),
    ("CREATED", "created_since"),
    ("IP", "ip"),
)


def ps(context: Context, parsed: Parsed) -> int:
    """List pods."""
    wanted = filters(parsed["filter"], ("id", "name", "label", "status"))
    now = time.time()
    rows = []
    records = context.node.list(all=True)
    members: dict[str, list[PodRecord]] = {}
    for record in reversed(records):
        if record.single and record.pod.spec.extras.pod:
            members.setdefault(record.pod.spec.extras.pod, []).append(record)
    for record in records:
        if record.single or not (parsed["all"] or record.phase in ("Pending", "Running")):
            continue
        if "id" in wanted and not any(record.id.startswith(w) for w in wanted["id"]):
            continue
        if "name" in wanted and not name_fits(wanted["name"], record.name):
            continue
        if "label" in wanted and not labels_match(wanted["label"], record.pod.metadata.labels):
            continue
        row = pod_row(record, now, full=parsed["no-trunc"], members=members.get(record.id, []))
        if "status" in wanted and not {str(row["status"]).lower(), record.phase.lower()} & {
            w.lower() for w in wanted["status"]
        }:
            continue
        rows.append(row)
    listing(rows, POD_COLUMNS, template=parsed["format"], quiet="id" if parsed["quiet"] else "")
    return 0


def pod_row(
    record: PodRecord, now: float, *, full: bool = False, members: Sequence[PodRecord] = ()
) -> dict[str, object]:
    """The fields of ``pod ps --format``."""
    main = [c for c in record.containers if c.kind in ("main", "sidecar")]
    main += [member.container for member in members]
    ready = sum(c.ready for c in main)
    return {
        "id": record.id if full else record.id[:12],
        "name": record.name,
        "ready": f"{ready}/{len(main)}",
        "status": pod_status(record),
        "phase": record.phase,
        "restarts": sum(c.restarts for c in record.containers),
        "created": duration.rfc3339(record.created),
        "created_since": f"{duration.ago(now - record.created)} ago",
        "ip": next((n.ipv4 or n.ipv6 for n in record.networks), ""),
        "labels": ",".join(f"{k}={v}" for k, v in record.pod.metadata.labels.items()),
        "containers": ",".join([*(c.name for c in record.containers), *(m.name for m in members)]),
    }


def pod_status(record: PodRecord) -> str:
    """What ``kubectl get pods`` shows under STATUS: a container's trouble before the pod's phase."""
    init = [container for container in record.containers if container.kind == "init"]
    for container in init:
        if container.state == "exited" and container.exit_code:
            return "Init:" + (container.reason or "Error")
        if container.state == "restarting":
            return "Init:CrashLoopBackOff"
    done = sum(container.state == "exited" and container.started > 0 for container in init)
    if record.phase == "Pending" and done < len(init) and any(c.started for c in init):
        return f"Init:{done}/{len(init)}"
    for container in record.containers:
        if container.state == "restarting":
            return "CreateContainerError" if container.reason == "StartError" else "CrashLoopBackOff"
        if (
            container.reason in ("StartError", "ImagePullBackOff", "OOMKilled")
            and container.state == "exited"
        ):
            return container.reason
    if record.phase == "Succeeded":
        return "Completed"
    if record.phase == "Failed":
        return record.reason.capitalize() if record.reason == "stopped" else record.reason or "Error"
    if record.stopped and record.state == "exited":
        return "Stopped"
    return record.phase


def _container(record: PodRecord, name: str) -> str:
    """The reference of a pod's container; its first one for an empty name. Raises :class:`NotFound`."""
    if not name:
        return f"{record.name}/{record.container.name}"
    if all(container.name != name for container in record.containers):
        names = ", ".join(container.name for container in record.containers)
        raise NotFound(f"pod {record.name} has no container {name!r}", hint=f"its containers are {names}")
    return f"{record.name}/{name}"


def logs(context: Context, parsed: Parsed) -> int:
    """Print what a pod's containers wrote."""
    from lading.cli.logs import show

    record = is_pod(context, parsed.args[0])
    if parsed["all-containers"] and parsed["container"]:
        raise InvalidInput("--all-containers does not go with --container")
    reference = _container(record, parsed["container"]) if parsed["container"] else record.id
    several = len(record.containers) > 1 and not parsed["container"]
    return show(context, parsed, reference, prefix=parsed["prefix"] or several, previous=parsed["previous"])


def exec_(context: Context, parsed: Parsed) -> int:
    """Run a command in a container of a pod."""
    from lading.cli.exec import execute

    record = is_pod(context, parsed.args[0])
    command: Sequence[str] = parsed.args[1:]
    name = parsed["container"]
    if command[0].startswith("-"):
        name, command = _after_pod(command, name)
    return execute(context, parsed, _container(record, name), list(command))


def _after_pod(words: Sequence[str], name: str) -> tuple[str, Sequence[str]]:
    """``-c NAME``, ``--container[=]NAME`` and ``--`` where kubectl has them, after the pod: the container, the command.

    Raises :class:`InvalidInput` for another flag there, which would else be taken for a program.
    """
    rest = list(words)
    while rest and rest[0].startswith("-"):
        word = rest.pop(0)
        if word == "--":
            break
        flag, equals, value = word.partition("=")
        if flag.startswith("-c") and not flag.startswith("--"):
            value = word[2:].removeprefix("=")
        elif flag != "--container":
            raise InvalidInput(
                f"{word} after the pod's name", hint="write flags before it: lading pod exec -it POD"
            )
        if not value and not equals:
            if not rest:
                raise InvalidInput(f"{word} needs the name of a container")
            value = rest.pop(0)
        if not value:
            raise InvalidInput(f"{word} names no container")
        name = value
    if not rest:
        raise InvalidInput("pod exec needs a command", hint="lading pod exec POD [-c CONTAINER] [--] COMMAND")
    return name, rest


def inspect(context: Context, parsed: Parsed) -> int:
    """Show pods in full, as Kubernetes shows them."""
    from lading.cli.inspect_pod import pod_json

    return inspected(parsed.args, lambda name: pod_json(is_pod(context, name)), parsed["format"])
