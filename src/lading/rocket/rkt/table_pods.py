"""Names, arguments and flags of the verbs that look after pods."""

from __future__ import annotations

from lading.flags import Command, Flag

_UUID_FILE = Flag("uuid-file", "", "str", "FILE", "Take the UUID from a file")
_FORMAT = Flag(
    "format", "", "str", "FORMAT", "As JSON on one line, or indented", choices=("json", "json-pretty")
)
_NO_LEGEND = Flag("no-legend", "", "bool", help="No headings")
_APP = Flag("app", "", "str", "NAME", "Which app of the pod")


def commands() -> list[Command]:
    """The verbs."""
    return [
        Command(
            "list",
            "List pods",
            flags=[Flag("full", "", "bool", help="Whole UUIDs, image IDs and times"), _NO_LEGEND, _FORMAT],
            action="lading.rocket.rkt.looking:list_",
        ),
        Command(
            "status",
            "Show the state of a pod and how its apps ended",
            "[UUID...]",
            flags=_status,
            action="lading.rocket.rkt.looking:status",
        ),
        Command(
            "cat-manifest",
            "Print the manifest of a pod",
            "[UUID...]",
            flags=[Flag("pretty-print", "", "bool", help="Indent it", default=True), _UUID_FILE],
            action="lading.rocket.rkt.looking:cat_manifest",
        ),
        Command(
            "stop",
            "Stop pods",
            "[UUID...]",
            flags=[Flag("force", "", "bool", help="Kill them at once"), _UUID_FILE],
            action="lading.rocket.rkt.ending:stop",
        ),
        Command(
            "rm",
            "Remove pods that do not run",
            "[UUID...]",
            flags=[_UUID_FILE],
            action="lading.rocket.rkt.ending:rm",
        ),
        Command(
            "gc",
            "Remove pods that ended a while ago",
            flags=_gc,
            action="lading.rocket.rkt.ending:gc",
            description="A first pass marks pods that have ended as garbage, a later one removes those that were marked "
            "longer ago than the grace period; --grace-period=0s does both at once. It is meant for a timer.",
        ),
        Command(
            "enter",
            "Run a command in an app, as root there",
            "UUID [COMMAND] [ARG...]",
            flags=[_APP],
            action="lading.rocket.rkt.entering:enter",
            interspersed=False,
            description="Without a command it is /bin/bash, or /bin/sh where there is no bash.",
        ),
        Command(
            "attach",
            "Attach to the streams of an app",
            "UUID",
            flags=[_APP, Flag("mode", "", "str", "MODE", "Which of them, or list", default="auto")],
            action="lading.rocket.rkt.entering:attach",
            description="MODE is auto (all there are), list, some of stdin,stdout,stderr, or for an app with a terminal tty, "
            "tty-in or tty-out. Ctrl-C leaves streams, ctrl-p ctrl-q a terminal; the app goes on.",
        ),
        Command(
            "export",
            "Write what an app of an exited pod left behind as an image archive",
            "UUID FILE.aci",
            flags=[_APP, Flag("overwrite", "", "bool", help="Replace the file")],
            action="lading.rocket.rkt.exporting:export",
        ),
        Command("app", "The apps of a pod, and further ones while it runs", commands=_app),
    ]


def _status() -> list[Flag]:
    return [
        Flag("wait", "", "str", "DURATION", "Wait until it has ended", no_value="true"),
        Flag("wait-ready", "", "str", "DURATION", "Wait until all its apps have started", no_value="true"),
        _UUID_FILE,
        _FORMAT,
    ]


def _gc() -> list[Flag]:
    return [
        Flag(
            "grace-period",
            "",
            "str",
            "DURATION",
            "How long marked pods are kept",
            default="30m",
        ),
        Flag(
            "expire-prepared",
            "",
            "str",
            "DURATION",
            "How long pods are kept that were prepared and never run",
            default="24h",
        ),
        Flag("mark-only", "", "bool", help="Mark what has ended, remove nothing"),
    ]


def _add() -> list[Flag]:
    from lading.rocket.rkt.table import app

    return [
        *(flag for flag in app() if flag.name != "signature"),
        Flag(
            "mnt-volume",
            "",
            "list",
            "NAME,kind=KIND,...,target=PATH",
            "A volume for this app alone, mounted there",
        ),
    ]


def _app() -> list[Command]:
    return [
        Command(
            "add",
            "Add an app to a pod that runs, without starting it",
            "UUID IMAGE...",
            flags=_add,
            action="lading.rocket.rkt.adding:add",
            interspersed=False,
            description="IMAGE is one that is here, by its name or ID; flags follow it, and its arguments stand after --.",
        ),
        Command(
            "list",
            "Names and states of a pod's apps",
            "UUID",
            flags=[_NO_LEGEND],
            action="lading.rocket.rkt.apps:list_",
        ),
        Command(
            "status",
            "Everything that is known of an app",
            "UUID",
            flags=[_APP, _FORMAT],
            action="lading.rocket.rkt.apps:status",
        ),
        Command(
            "start",
            "Start an app that was added",
            "UUID",
            flags=[_APP],
            action="lading.rocket.rkt.apps:start",
        ),
        Command(
            "stop", "Stop an app that was added", "UUID", flags=[_APP], action="lading.rocket.rkt.apps:stop"
        ),
        Command(
            "rm",
            "Stop an app that was added, and take it away",
            "UUID",
            flags=[_APP],
            action="lading.rocket.rkt.apps:rm",
        ),
        Command(
            "exec",
            "Run a command in an app, as root there: the same as enter",
            "UUID [COMMAND] [ARG...]",
            flags=[_APP],
            action="lading.rocket.rkt.entering:enter",
            interspersed=False,
            description="Without a command it is /bin/bash, or /bin/sh where there is no bash.",
        ),
        Command(
            "sandbox",
            refuse="a pod lives as long as the apps that it began with, so one without any would have ended before it began: "
            "let it begin with one that waits (lading rkt run --detach IMAGE --exec=/bin/sleep -- infinity), and add others",
        ),
    ]
