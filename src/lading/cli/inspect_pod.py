"""A pod as Kubernetes shows it: its manifest, and a status in the API's words (core/v1 PodStatus)."""

from __future__ import annotations

from lading.formats import duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.node import ContainerRecord, PodRecord


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
    main = [c for c in record.containers if c.kind == "main"]
    init = [c for c in record.containers if c.kind != "main"]
    ready = bool(main) and all(c.ready for c in main)
    begun = all(
        (c.state == "exited" and c.exit_code == 0) or (c.kind == "sidecar" and c.state == "running")
        for c in init
    )
    made: dict[str, object] = {
        "phase": record.phase,
        "conditions": [
            _condition("PodScheduled", True),
            _condition("Initialized", begun),
            _condition("ContainersReady", ready),
            _condition("Ready", ready),
        ],
    }
    for key, value in (("reason", record.reason), ("message", record.message)):
        if value:
            made[key] = value
    addresses = [a for n in record.networks for a in (n.ipv4, n.ipv6) if a]
    if addresses:
        made["podIP"] = addresses[0]
        made["podIPs"] = [{"ip": a} for a in addresses]
    starts = [c.started for c in record.containers if c.started]
    if starts:
        made["startTime"] = _time(min(starts))
    if init:
        made["initContainerStatuses"] = [_container(c) for c in init]
    made["containerStatuses"] = [_container(c) for c in main]
    made["x-lading"] = {"id": record.id, "keeperPID": record.keeper_pid}
    return made


def _condition(kind: str, true: bool) -> dict[str, object]:
    return {"type": kind, "status": "True" if true else "False"}


def _container(container: ContainerRecord) -> dict[str, object]:
    return {
        "name": container.name,
        "containerID": f"lading://{container.id}",
        "image": container.image,
        "imageID": container.image_id,
        "ready": container.ready,
        "restartCount": container.restarts,
        "started": container.state in ("running", "paused"),
        "state": _state(container),
    }


def _state(container: ContainerRecord) -> dict[str, object]:
    if container.state in ("running", "paused"):
        return {"running": {"startedAt": _time(container.started)}}
    if container.state == "exited":
        ended: dict[str, object] = {
            "exitCode": container.exit_code,
            "reason": container.reason or ("Completed" if container.exit_code == 0 else "Error"),
            "startedAt": _time(container.started),
            "finishedAt": _time(container.finished),
            "containerID": f"lading://{container.id}",
        }
        if container.message or container.error:
            ended["message"] = container.message or container.error
        return {"terminated": ended}
    reason = (
        "CrashLoopBackOff" if container.state == "restarting" else container.reason or "ContainerCreating"
    )
    return {"waiting": {"reason": reason}}


def _time(seconds: float) -> str | None:
    return duration.rfc3339(seconds).partition(".")[0] + "Z" if seconds else None
