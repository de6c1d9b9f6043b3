"""A pod as Kubernetes shows it: its manifest, and a status in the API's words (core/v1 PodStatus)."""

from __future__ import annotations

from lading.formats import duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.node import ContainerRecord, PodRecord
    from lading.node.model import Ended


def pod_json(record: PodRecord) -> dict[str, object]:
    """``kubectl get pod -o json`` of this pod."""
    made = record.pod.encode()
    metadata = made.setdefault("metadata", {})
    metadata["name"] = record.name
    metadata.setdefault("namespace", "default")
    metadata["uid"] = record.pod.metadata.uid or record.id
    metadata["creationTimestamp"] = _time(record.created)
    _hide(made)
    made["status"] = status(record)
    return made


def _hide(made: dict[str, object]) -> None:
    """Leave the values of Secrets out: who may list pods need not know them."""
    spec = made["spec"]
    assert isinstance(spec, dict)
    for source in spec.get("x-lading", {}).get("sources", []):
        if source["kind"] == "Secret":
            for field in ("values", "binary"):
                if field in source:
                    source[field] = dict.fromkeys(source[field], "")


def status(record: PodRecord) -> dict[str, object]:
    """The pod's status."""
    from lading.node import qos
    from lading.node.machine import host_address

    main = [c for c in record.containers if c.kind == "main"]
    init = [c for c in record.containers if c.kind != "main"]
    initialized = _initialized(record)
    made: dict[str, object] = {"phase": record.phase, "conditions": _conditions(record, initialized)}
    for key, value in (("reason", record.reason), ("message", record.message)):
        if value:
            made[key] = value
    host = host_address()
    made["hostIP"] = host
    made["hostIPs"] = [{"ip": host}]
    addresses = [a for n in record.networks for a in (n.ipv4, n.ipv6) if a]
    if record.pod.spec.host_network:
        addresses = [host]
    if addresses:
        made["podIP"] = addresses[0]
        made["podIPs"] = [{"ip": a} for a in addresses]
    starts = [c.first for c in record.containers if c.first]
    if starts:
        made["startTime"] = _time(min(starts))
    if init:
        made["initContainerStatuses"] = [_container(c, True) for c in init]
    made["containerStatuses"] = [_container(c, initialized) for c in main]
    made["qosClass"] = qos.class_of(record.pod)
    own: dict[str, object] = {"id": record.id, "keeperPID": record.keeper_pid}
    if record.users:
        from lading.cli.inspect_container import id_mappings

        own["idMappings"] = id_mappings(record)
    made["x-lading"] = own
    return made


def _initialized(record: PodRecord) -> bool:
    """Whether the init containers have done their work: also of a sidecar that has ended since."""
    if any(c.started and c.state != "created" for c in record.containers if c.kind == "main"):
        return True
    return all(
        c.up if c.kind == "sidecar" else c.state == "exited" and c.started > 0 and c.exit_code == 0
        for c in record.containers
        if c.kind != "main"
    )


def _conditions(record: PodRecord, initialized: bool) -> list[dict[str, object]]:
    """The conditions in the order in which a pod comes by them, each false one with its reason."""
    serving = [c for c in record.containers if c.kind != "init"]
    waiting = [c.name for c in serving if not c.ready]
    unfinished = [
        c.name
        for c in record.containers
        if c.kind == "init" and not (c.state == "exited" and c.started and c.exit_code == 0)
    ]
    if record.phase in ("Succeeded", "Failed"):
        reason, message = "PodCompleted" if record.phase == "Succeeded" else "PodFailed", ""
    else:
        reason, message = "ContainersNotReady", f"containers with unready status: [{' '.join(waiting)}]"
    ready = not waiting and record.phase == "Running"
    incomplete = f"containers with incomplete status: [{' '.join(unfinished)}]"
    kept = record.keeper_pid != 0
    begun = min((c.first for c in record.containers if c.first), default=record.created)
    over = max((c.finished for c in record.containers), default=0.0) or record.created
    prepared = max((c.finished or c.turned for c in record.containers if c.kind != "main"), default=0.0)
    turned = max(max(c.turned, 0.0 if c.ready else c.finished) for c in serving) or record.created
    return [
        _condition("PodScheduled", True, record.created),
        _condition("PodReadyToStartContainers", kept, begun if kept else over),
        _condition(
            "Initialized",
            initialized,
            prepared if initialized and prepared else record.created,
            "ContainersNotInitialized",
            incomplete,
        ),
        _condition("ContainersReady", ready, turned, reason, message),
        _condition("Ready", ready, turned, reason, message),
    ]


def _condition(kind: str, true: bool, since: float, reason: str = "", message: str = "") -> dict[str, object]:
    made: dict[str, object] = {
        "type": kind,
        "status": "True" if true else "False",
        "lastTransitionTime": _time(since),
    }
    if not true and reason:
        made["reason"] = reason
        if message:
            made["message"] = message
    return made


def _container(container: ContainerRecord, initialized: bool) -> dict[str, object]:
    done = container.kind == "init" and container.state == "exited" and container.exit_code == 0
    made: dict[str, object] = {
        "name": container.name,
        "containerID": f"lading://{container.id}" if container.started else "",
        "image": container.image,
        "imageID": container.image_id,
        "ready": container.ready or (done and container.started > 0),
        "restartCount": container.restarts,
        "started": container.state in ("running", "paused") and container.up,
        "state": _state(container, initialized),
        "lastState": _last_state(container),
    }
    return made


def _state(container: ContainerRecord, initialized: bool) -> dict[str, object]:
    if container.state in ("running", "paused"):
        return {"running": {"startedAt": _time(container.started)}}
    if container.state == "exited" and (container.started or container.error):
        return _terminated(container, container)
    if container.state == "restarting" and container.reason == "StartError":
        return {"waiting": {"reason": "CreateContainerError", "message": container.error}}
    if container.state == "restarting":
        return {"waiting": {"reason": "CrashLoopBackOff"}}
    return {"waiting": {"reason": "ContainerCreating" if initialized else "PodInitializing"}}


def _last_state(container: ContainerRecord) -> dict[str, object]:
    """How the run before the state ended: this one's end, while the next one is waited for."""
    if container.state == "restarting" and container.reason != "StartError":
        return _terminated(container, container)
    return {} if container.last is None else _terminated(container, container.last)


def _terminated(container: ContainerRecord, run: ContainerRecord | Ended) -> dict[str, object]:
    ended: dict[str, object] = {
        "exitCode": run.exit_code,
        "reason": run.reason or ("Completed" if run.exit_code == 0 else "Error"),
        "startedAt": _time(run.started),
        "finishedAt": _time(run.finished),
        "containerID": f"lading://{container.id}",
    }
    if not run.started:
        del ended["startedAt"]
    message = run.message or container.error if run is container else run.message
    if message:
        ended["message"] = message
    return {"terminated": ended}


def _time(seconds: float) -> str | None:
    return duration.rfc3339(seconds).partition(".")[0] + "Z" if seconds else None
