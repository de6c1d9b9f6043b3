"""Names, arguments and flags of ``lading rkt``; what the verbs do is in the modules that their actions name.

Flags about one app follow its image and collect every word; those about the pod may be missing (``unset``), so that each part
of the line says only what it says (:mod:`lading.rocket.rkt.line`).
"""

from __future__ import annotations

from lading.flags import Command, Flag

_IMAGES = "IMAGE..."
_DESCRIPTION = (
    "IMAGE is NAME[:VERSION][,LABEL=VALUE...], docker://REFERENCE, an image ID, a URL, or a file (with a slash in front).\n"
    "Flags about one app follow its image; its arguments stand between -- and ---:\n"
    "  lading rkt run example.com/worker --memory=64M -- --verbose --- example.com/other"
)


def commands() -> list[Command]:
    """Every verb."""
    from lading.rocket.rkt import table_images, table_pods

    return [
        Command(
            "run",
            "Run a pod of apps, and stay until it ends",
            _IMAGES.replace("IMAGE...", "[IMAGE...]"),
            flags=run,
            action="lading.rocket.rkt.running:run",
            description=_DESCRIPTION,
            interspersed=False,
        ),
        Command(
            "prepare",
            "Make a pod of apps without starting it, and print its UUID",
            "[IMAGE...]",
            flags=prepare,
            action="lading.rocket.rkt.running:prepare",
            description=_DESCRIPTION,
            interspersed=False,
        ),
        Command(
            "run-prepared",
            "Run a prepared pod, and stay until it ends",
            "UUID",
            flags=run_prepared,
            action="lading.rocket.rkt.running:run_prepared",
        ),
        *table_pods.commands(),
        *table_images.commands(),
        Command(
            "api-service",
            refuse="there is no service to ask: list, status, image list and app status have --format=json",
        ),
        Command("completion", refuse="it is the same for all of lading: lading completion SHELL"),
        Command("fly", refuse="there is one way to run a pod: lading rkt run"),
    ]


def group() -> list[Flag]:
    """The flags of ``lading rkt`` itself, which stand before the verb, and may stand behind it."""
    return [
        Flag("debug", "", "bool", help="Show where in the program an error comes from", unset=True),
        Flag("dir", "", "str", "DIR", "Where images and pods are kept, as lading --root", unset=True),
        *insecure(),
        Flag("local-config", "", "str", "DIR", "This machine's settings and keys", unset=True),
        Flag("system-config", "", "str", "DIR", "The distribution's settings and keys", unset=True),
        Flag("user-config", "", "str", "DIR", "Your own settings, over the others", unset=True),
        Flag(
            "trust-keys-from-https",
            "",
            "bool",
            help="Trust keys that an image's page names over HTTPS, without asking",
            unset=True,
        ),
    ]


def misplaced() -> list[Flag]:
    """Those that may not stand behind an image: by then it is settled what they say."""
    why = "it stands before the first image"
    return [Flag(flag.name, "", flag.kind, refuse=why) for flag in group() if flag.name != "insecure-options"]


def insecure() -> list[Flag]:
    """``--insecure-options``, which may stand behind an image, too."""
    return [
        Flag(
            "insecure-options",
            "",
            "list",
            "WHAT",
            "Do without image (signatures), tls, http, pubkey, capabilities, paths, seccomp, all-fetch, all-run or all",
        )
    ]


def fetching() -> list[Flag]:
    """How images are found."""
    return [
        Flag(
            "pull-policy",
            "",
            "str",
            "WHEN",
            "Whether images are fetched: when they are not here (new), always (update), or never",
            choices=("never", "new", "update"),
            unset=True,
        ),
        Flag("store-only", "", "bool", help="The same as --pull-policy=never", hidden=True, unset=True),
        Flag("no-store", "", "bool", help="The same as --pull-policy=update", hidden=True, unset=True),
        *insecure(),
    ]


def app() -> list[Flag]:
    """Flags about the app whose image stands before them."""
    return [
        Flag("name", "", "list", "NAME", "Of an app: what it is called in the pod"),
        Flag("exec", "", "list", "PATH", "Of an app: the command, in place of the image's"),
        Flag("working-dir", "", "list", "DIR", "Of an app: where it starts"),
        Flag("user", "", "list", "USER", "Of an app: a name, a number, or a file whose owner is meant"),
        Flag("group", "", "list", "GROUP", "Of an app: a name, a number, or a file whose group is meant"),
        Flag("supplementary-gids", "", "list", "GID,...", "Of an app: further groups, by number"),
        Flag(
            "readonly-rootfs",
            "",
            "list",
            "BOOL",
            "Of an app: nothing in its root can be changed",
            no_value="true",
        ),
        Flag("environment", "", "list", "NAME=VALUE", "Of an app: a variable"),
        Flag(
            "mount",
            "",
            "list",
            "volume=NAME,target=PATH",
            "Of an app, or before all images of every app: a volume",
        ),
        Flag("annotation", "", "list", "NAME=VALUE", "Of an app: an annotation of the pod manifest"),
        Flag("user-annotation", "", "list", "NAME=VALUE", "Of an app: a user annotation"),
        Flag("user-label", "", "list", "NAME=VALUE", "Of an app: a user label"),
        Flag("stdin", "", "list", "MODE", "Of an app: null, stream or tty"),
        Flag("stdout", "", "list", "MODE", "Of an app: log, stream, tty or null"),
        Flag("stderr", "", "list", "MODE", "Of an app: log, stream, tty or null"),
        Flag("signature", "", "list", "FILE|URL", "Of an image: its signature, when it is not beside it"),
        *isolators(),
    ]


def isolators() -> list[Flag]:
    """Isolators of the app whose image stands before them."""
    return [
        Flag("memory", "", "list", "BYTES", "Of an app: 64M, 1Gi"),
        Flag("cpu", "", "list", "CPUS", "Of an app: 500m, 2"),
        Flag("cpu-shares", "", "list", "N", "Of an app: its weight, 1024 as everybody"),
        Flag("oom-score-adj", "", "list", "N", "Of an app: -1000 to 1000", aliases=("oom-score-adjust",)),
        Flag(
            "caps-retain", "", "list", "CAP,...", "Of an app: the only capabilities", aliases=("cap-retain",)
        ),
        Flag(
            "caps-remove", "", "list", "CAP,...", "Of an app: not these capabilities", aliases=("cap-remove",)
        ),
        Flag(
            "seccomp",
            "",
            "list",
            "mode=MODE,CALL,...",
            "Of an app: mode=retain or remove, errno=NAME, system calls",
        ),
    ]


def network() -> list[Flag]:
    """Where a pod is in the network."""
    return [
        Flag(
            "net",
            "",
            "list",
            "NAME[:IP=ADDRESS],...",
            "Networks: default, default-restricted, host, none, all, or those of `lading network`",
            no_value="default",
        ),
        Flag("dns", "", "list", "IP", "A name server, host for the host's own, or none for the image's file"),
        Flag("dns-search", "", "list", "DOMAIN", "A search domain"),
        Flag("dns-opt", "", "list", "OPTION", "A resolver option"),
        Flag("dns-domain", "", "str", "DOMAIN", "The search domain, where there is no other", unset=True),
        Flag("hosts-entry", "", "list", "IP=NAME", "A line of /etc/hosts, or host for the host's own"),
        Flag("hostname", "", "str", "NAME", "The pod's host name (default: rkt-UUID)", unset=True),
    ]


def _making() -> list[Flag]:
    """What `run` and `prepare` share."""
    return [
        Flag("volume", "", "list", "NAME,kind=KIND,...", "A volume: kind=host,source=PATH or kind=empty"),
        Flag("port", "", "list", "NAME:[IP:]PORT", "A port of the host that leads to an app's port"),
        Flag("set-env", "", "list", "NAME=VALUE", "A variable of every app"),
        Flag("set-env-file", "", "list", "FILE", "Variables of every app, NAME=VALUE a line"),
        Flag(
            "inherit-env",
            "",
            "bool",
            help="Apps get the variables of this command, but for their own",
            unset=True,
        ),
        Flag(
            "restart",
            "",
            "str",
            "WHEN",
            "Whether an app that has ended starts again",
            choices=("no", "on-failure", "always"),
            unset=True,
        ),
        Flag("pod-manifest", "", "str", "FILE", "The pod manifest, in place of images", unset=True),
        Flag(
            "private-users",
            "",
            "bool",
            help="The pod's users are its own, and nobody on the host",
            unset=True,
        ),
        *_stage1(),
        *app(),
        *fetching(),
    ]


def _stage1() -> list[Flag]:
    why = "there is one way to run a pod, and no images for it"
    return [
        Flag(f"stage1-{name}", "", "str", "TEXT", refuse=why)
        for name in ("url", "path", "name", "hash", "from-dir")
    ]


def _starting() -> list[Flag]:
    """What `run` and `run-prepared` share."""
    return [
        *network(),
        Flag("interactive", "", "bool", help="Give the app this terminal; the pod has one app", unset=True),
        Flag("detach", "d", "bool", help="Print the UUID, and let the pod run on its own", unset=True),
        Flag("mds-register", "", "bool", help="Give the pod a metadata service", unset=True),
        Flag(
            "ipc",
            "",
            "str",
            "MODE",
            "IPC namespace: the host's with parent, else the pod's own",
            choices=("auto", "private", "parent"),
            unset=True,
        ),
    ]


def run() -> list[Flag]:
    """The flags of ``lading rkt run``."""
    return [
        *_starting(),
        Flag("uuid-file-save", "", "str", "FILE", "Write the pod's UUID to a file", unset=True),
        Flag("no-overlay", "", "bool", help="Copy images in place of mounting them", unset=True),
        *_making(),
    ]


def prepare() -> list[Flag]:
    """The flags of ``lading rkt prepare``."""
    return [
        *_making(),
        Flag("quiet", "", "bool", help="Print nothing but the UUID", unset=True),
        Flag("uuid-file-save", "", "str", "FILE", "Write the pod's UUID to a file", unset=True),
        Flag("no-overlay", "", "bool", help="Copy images now in place of mounting them", unset=True),
    ]


def run_prepared() -> list[Flag]:
    """The flags of ``lading rkt run-prepared``."""
    return _starting()
