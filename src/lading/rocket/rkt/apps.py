"""``rkt app``: the apps of one pod. Those that are added to a pod while it runs start, stop and go by themselves."""

from __future__ import annotations

import sys

from lading.errors import Conflict
from lading.flags import UsageError
from lading.rocket.rkt import pods, seen
from lading.rocket.rkt.entering import not_running
from lading.rocket.rkt.looking import app_json, show_json
from lading.rocket.rkt.spoken import moment, tabulated
from lading.rocket.rkt.statuses import as_rocket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.cli.context import Context
    from lading.flags import Parsed
    from lading.rocket.rkt.seen import SeenApp, SeenPod


@as_rocket
def list_(context: Context, parsed: Parsed) -> int:
    """Names and states."""
    pod = seen.find(context.node, parsed.args[0])
    rows = [] if parsed["no-legend"] else [["NAME", "STATE"]]
    rows += [[app.app.name, pod.state_of(app)] for app in pod.apps]
    sys.stdout.write(tabulated(rows))
    return 0


@as_rocket
def status(context: Context, parsed: Parsed) -> int:
    """Everything that is known of one app."""
    pod, app = _named(context, parsed)
    if parsed["format"]:
        show_json(app_json(pod, app), parsed["format"])
        return 0
    made = app_json(pod, app)
    for key in ("name", "state", "image_id"):
        print(f"{key}={made[key]}")
    for key, when in (
        ("created_at", app.record.created),
        ("started_at", app.container.started),
        ("finished_at", app.container.finished),
    ):
        if key in made:
            print(f"{key}={moment(when)}")
    if "exit_code" in made:
        print(f"exit_code={made['exit_code']}")
    return 0


def _named(context: Context, parsed: Parsed) -> tuple[SeenPod, SeenApp]:
    if not parsed["app"]:
        raise UsageError("which app is missing", hint="name it with --app=NAME")
    pod = seen.find(context.node, parsed.args[0])
    return pod, pod.app(parsed["app"])


def _added(context: Context, parsed: Parsed) -> tuple[SeenPod, SeenApp]:
    """The app that is meant, which was added. Raises :class:`Conflict` for one that its pod began with."""
    pod, app = _named(context, parsed)
    if not app.added:
        raise Conflict(
            f"app {app.app.name!r} is one that pod {pod.pod.uuid} began with: those start and end together",
            hint=f"lading rkt stop {pod.pod.uuid[:8]}",
            reason="not-added",
        )
    return pod, app


@as_rocket
def start(context: Context, parsed: Parsed) -> int:
    """Start an app that was added."""
    pod, app = _added(context, parsed)
    if pod.state != pods.RUNNING:
        raise not_running(pod)
    context.node.start(app.record.id)
    return 0


@as_rocket
def stop(context: Context, parsed: Parsed) -> int:
    """Stop an app that was added."""
    _, app = _added(context, parsed)
    context.node.stop(app.record.id)
    return 0


@as_rocket
def rm(context: Context, parsed: Parsed) -> int:
    """Take an app that was added away, stopping it first."""
    _, app = _added(context, parsed)
    context.node.stop(app.record.id)
    context.node.remove(app.record.id, volumes=True)
    return 0
