"""``rkt list``, ``status`` and ``cat-manifest``: pods as Rocket shows them."""

from __future__ import annotations

import sys
import time

from lading.errors import InvalidInput, TimedOut
from lading.flags import UsageError
from lading.formats import duration, jsontext
from lading.network.model import DEFAULT_NETWORK
from lading.rocket.rkt import pods, seen
from lading.rocket.rkt.spoken import ago, moment, tabulated
from lading.rocket.rkt.statuses import FAILED, as_rocket
from lading.rocket.rkt.uuids import chosen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lading.cli.context import Context
    from lading.flags import Parsed
    from lading.node import Node
    from lading.node.model import NetworkRecord
    from lading.rocket.rkt.pods import RocketPod
    from lading.rocket.rkt.seen import SeenApp, SeenPod

_SHORT, _SHORT_ID = 8, 19
_RAN = (pods.RUNNING, pods.DELETING, pods.EXITED, pods.GARBAGE_STATE)
_AFTER = (pods.DELETING, pods.EXITED, pods.GARBAGE_STATE)
_OBEYED = {code: f"\\u{code:04x}" for code in range(0x7F, 0xA0)}  # those that JSON itself does not escape
_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.25


@as_rocket
def list_(context: Context, parsed: Parsed) -> int:
    """List pods."""
    found, wrong = seen.every(context.node)
    if parsed["format"]:
        show_json([as_json(pod) for pod in found], parsed["format"])
    else:
        rows = [] if parsed["no-legend"] else [legend(full=parsed["full"])]
        now = time.time()
        for pod in found:
            rows += rows_of(pod, now, full=parsed["full"])
        sys.stdout.write(tabulated(rows))
    if wrong:
        from lading.cli.main import complain

        for error in wrong:
            complain(error)
    return FAILED if wrong else 0


def legend(*, full: bool) -> list[str]:
    """The headings of ``list``."""
    image = ["IMAGE NAME", "IMAGE ID"] if full else ["IMAGE NAME"]
    return ["UUID", "APP", *image, "STATE", "CREATED", "STARTED", "NETWORKS"]


def rows_of(pod: SeenPod, now: float, *, full: bool) -> list[list[str]]:
    """One row an app; what is the pod's stands in the first."""
    when: Callable[[float], str] = moment if full else lambda then: ago(now - then)
    of_pod = [
        pod.state,
        when(pod.pod.created),
        when(pod.pod.started) if pod.pod.started else "",
        networks(pod.pod),
    ]
    rows: list[list[str]] = []
    for app in pod.apps:
        image = [app.image_name or "--", *([app.app.image.id[:_SHORT_ID]] if full else [])]
        uuid = "" if rows else pod.pod.uuid if full else pod.pod.uuid[:_SHORT]
        rows.append([uuid, app.app.name, *image, *(of_pod if not rows else [""] * len(of_pod))])
    nothing = ["-"] * (3 if full else 2)
    return rows or [[pod.pod.uuid if full else pod.pod.uuid[:_SHORT], *nothing, *of_pod]]


def networks(pod: RocketPod) -> str:
    """``NAME:ip4=ADDRESS`` of each network; ``ip6=`` where that is all it has."""
    return ", ".join(
        f"{_called(n)}:{f'ip4={n.ipv4}' if n.ipv4 or not n.ipv6 else f'ip6={n.ipv6}'}"
        for n in pod.record.networks
    )


def _called(network: NetworkRecord) -> str:
    """A network's name; that of the engine's own is Rocket's word for it."""
    return "default" if network.name == DEFAULT_NETWORK else network.name


@as_rocket
def status(context: Context, parsed: Parsed) -> int:
    """Show one pod, after waiting for it if asked."""
    if len(parsed.args) > 1:
        waits = "true" in (parsed["wait"], parsed["wait-ready"])
        raise UsageError(
            f"status takes one pod, not {len(parsed.args)}",
            hint="a duration stands behind an equals sign: --wait=10s" if waits else "",
        )
    ready, finished = (_patience(parsed, name) for name in ("wait-ready", "wait"))
    (uuid,) = chosen(parsed)
    pod = seen.find(context.node, uuid)
    if ready is not None:
        _until(context.node, pod.pod, _is_ready, ready, "be ready")
    if finished is not None:
        _until(context.node, pod.pod, lambda now: now.state in _AFTER, finished, "end")
    if ready is not None or finished is not None:
        pod = seen.find(context.node, pod.pod.uuid)
    if parsed["format"]:
        show_json(as_json(pod), parsed["format"])
    else:
        print("\n".join(status_lines(pod)))
    return 0


def _patience(parsed: Parsed, name: str) -> float | None:
    """Seconds that ``--wait`` allows; None: it does not wait, infinity: as long as it takes. Raises InvalidInput."""
    text: str = parsed[name]
    if text.lower() in ("", "false", "f", "0"):
        return None
    if text.lower() in ("true", "t", "1"):
        return float("inf")
    return time_of(f"--{name}", text)


def time_of(flag: str, text: str) -> float:
    """The seconds of a duration that a flag says. Raises :class:`InvalidInput`, naming the flag."""
    try:
        return duration.seconds(text)
    except InvalidInput as error:
        raise InvalidInput(f"{flag}: {error.message}", hint=error.hint) from None


def _is_ready(pod: RocketPod) -> bool:
    return pod.state in _AFTER or (
        pod.state == pods.RUNNING and all(c.started for c in pod.record.containers if c.kind == "main")
    )


def _until(node: Node, pod: RocketPod, done: Callable[[RocketPod], bool], patience: float, what: str) -> None:
    """Look again and again until the pod is ``done``. Raises :class:`TimedOut`, and NotFound when it is removed meanwhile."""
    end = time.monotonic() + patience
    pause = _FIRST_PAUSE
    while not done(seen.again(node, pod)):
        left = end - time.monotonic()
        if left <= 0:
            raise TimedOut(f"pod {pod.uuid} did not {what} within {duration.shown(patience)}")
        time.sleep(min(pause, left))
        pause = min(pause * 2, _LONGEST_PAUSE)


def status_lines(pod: SeenPod) -> list[str]:
    """``NAME=VALUE`` lines: what there is to say of a pod in its state."""
    state = pod.state
    lines = [f"state={state}", f"created={moment(pod.pod.created)}"]
    if pod.pod.started:
        lines.append(f"started={moment(pod.pod.started)}")
    if state in (pods.RUNNING, pods.EXITED):
        lines.append(f"networks={networks(pod.pod)}")
    if state not in _RAN:
        return lines
    pid = next((app.container.pid for app in pod.apps if app.container.pid), 0)
    if pid:
        lines.append(f"pid={pid}")
    over = state in (pods.EXITED, pods.GARBAGE_STATE)
    lines.append(f"exited={'true' if over else 'false'}")
    if state != pods.RUNNING:
        lines += [f"app-{app.app.name}={app.container.exit_code}" for app in pod.apps if _has_ended(app)]
    return lines


def _has_ended(app: SeenApp) -> bool:
    return app.container.state == "exited" and bool(app.container.started or app.container.reason)


def show_json(value: object, form: str) -> None:
    """JSON on one line, or indented for ``json-pretty``, without characters that a terminal would obey."""
    print(jsontext.dumps(value, indent=4 if form == "json-pretty" else 0).translate(_OBEYED))


def as_json(pod: SeenPod) -> dict[str, object]:
    """A pod in the words of Rocket's API v1: its times in seconds, those of its apps in nanoseconds."""
    made: dict[str, object] = {"name": pod.pod.uuid, "state": pod.state}
    if pod.pod.record.networks:
        made["networks"] = [_network(network) for network in pod.pod.record.networks]
    made["app_names"] = [app.app.name for app in pod.apps]
    made["apps"] = [app_json(pod, app) for app in pod.apps]
    made["created_at"] = int(pod.pod.created)
    if pod.pod.started:
        made["started_at"] = int(pod.pod.started)
    for key, values in (
        ("user_annotations", pod.manifest.user_annotations),
        ("user_labels", pod.manifest.user_labels),
    ):
        if values:
            made[key] = dict(values)
    return made


def _network(network: NetworkRecord) -> dict[str, object]:
    bits = ~((1 << (32 - network.ipv4_prefix)) - 1) & 0xFFFFFFFF
    mask = ".".join(str(bits >> shift & 255) for shift in (24, 16, 8, 0))
    return {
        "netName": _called(network),
        "netConf": "",
        "pluginPath": "",
        "ifName": network.interface,
        "ip": network.ipv4 or network.ipv6,
        "args": "",
        "mask": mask if network.ipv4 else "",
    }


def app_json(pod: SeenPod, app: SeenApp) -> dict[str, object]:
    """An app in the words of Rocket's API v1."""
    container = app.container
    made: dict[str, object] = {"name": app.app.name, "state": pod.state_of(app)}
    times = (
        ("created_at", app.record.created),
        ("started_at", container.started),
        ("finished_at", container.finished if container.state == "exited" else 0.0),
    )
    made |= {key: _nanoseconds(when) for key, when in times if when}
    if _has_ended(app):
        made["exit_code"] = container.exit_code
    made["image_id"] = app.app.image.id
    mounts = _mounts(pod, app)
    if mounts:
        made["mounts"] = mounts
    if app.executed is not None:
        if app.executed.user_annotations:
            made["user_annotations"] = dict(app.executed.user_annotations)
        if app.executed.user_labels:
            made["user_labels"] = dict(app.executed.user_labels)
    return made


def _nanoseconds(when: float) -> int:
    return int(when * 1e6) * 1000  # beyond microseconds a float has noise


def _mounts(pod: SeenPod, app: SeenApp) -> Sequence[dict[str, object]]:
    volumes = {volume.name: volume for volume in pod.manifest.volumes}
    made = []
    for mount in app.app.mounts:
        volume = mount.app_volume or volumes.get(mount.volume)
        made.append(
            {
                "name": mount.volume,
                "container_path": mount.path,
                "host_path": volume.source if volume is not None else "",
                "read_only": bool(volume is not None and volume.read_only),
            }
        )
    return made


@as_rocket
def cat_manifest(context: Context, parsed: Parsed) -> int:
    """Print the pod manifest that is executed."""
    if len(parsed.args) > 1:
        raise UsageError(f"cat-manifest takes one pod, not {len(parsed.args)}")
    (uuid,) = chosen(parsed)
    pod = seen.find(context.node, uuid)
    show_json(pod.manifest.encode(), "json-pretty" if parsed["pretty-print"] else "json")
    return 0
