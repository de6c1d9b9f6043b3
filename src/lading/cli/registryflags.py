"""The table of ``lading registry``: its commands and their flags."""

from __future__ import annotations

from lading.flags import Command, Flag

_STORAGE = Flag(
    "storage", "", "str", "DIR", "Where its content is kept (default: with the images of this Lading)"
)
_MIRROR = Flag("mirror", "", "str", "REGISTRY", "Of the mirror of this registry")
_GRACE = Flag(
    "gc-grace",
    "",
    "str",
    "DURATION",
    "How old uploads and unused blobs are before they are garbage",
    default="24h",
    aliases=("grace",),
)
_FORMAT = Flag("format", "", "str", "FORMAT", "json, table, or Python format fields such as '{name}'")


def commands() -> list[Command]:
    """The verbs of ``lading registry``."""
    return [
        Command(
            "serve",
            "Serve images to whoever may have them",
            flags=_serve,
            action="lading.cli.registry:serve",
            description="Speaks the OCI distribution specification 1.1. It listens on this machine only, and lets everybody do "
            "everything, until it is told otherwise. SIGHUP reads certificates, passwords and rights again.",
        ),
        Command(
            "ls",
            "List repositories, or the tags of one",
            "[REPOSITORY]",
            flags=[_STORAGE, _MIRROR, _FORMAT],
            action="lading.cli.registry:ls",
        ),
        Command(
            "rm",
            "Remove tags, manifests or whole repositories",
            "REPOSITORY[:TAG|@DIGEST]...",
            flags=[_STORAGE, _MIRROR, Flag("force", "f", "bool", help="Remove whole repositories too")],
            action="lading.cli.registry:rm",
            description="Also while it is served. What only they had goes with the next collection of garbage.",
        ),
        Command(
            "gc",
            "Collect garbage: forgotten uploads, and blobs that no manifest names",
            flags=[
                _STORAGE,
                _MIRROR,
                _GRACE,
                Flag("untagged", "", "bool", help="Also manifests that no tag leads to"),
            ],
            action="lading.cli.registry:gc",
            description="Also while it is served: nothing that is being pushed goes.",
        ),
        Command(
            "check",
            "Compare content with its digests, and records with content",
            flags=[
                _STORAGE,
                _MIRROR,
                Flag("repair", "", "bool", help="Forget what is lost, so that it can be pushed again"),
            ],
            action="lading.cli.registry:check",
        ),
        Command(
            "freeze",
            "Let nobody push or delete for a while",
            "[REASON]",
            flags=[_STORAGE],
            action="lading.cli.registry:freeze",
            description="A server obeys from the next request on and collects no garbage until `thaw`, also when it is started "
            "again. What it is answering is finished. Clients are told the reason, and to try again.",
        ),
        Command(
            "thaw",
            "Let clients push and delete again",
            flags=[_STORAGE],
            action="lading.cli.registry:thaw",
        ),
        Command(
            "passwd",
            "Set a user's password in a file for --htpasswd",
            "FILE USER",
            flags=[
                Flag("password-stdin", "", "bool", help="Read the password from standard input"),
                Flag("remove", "", "bool", help="Remove the user"),
            ],
            action="lading.cli.registry:passwd",
        ),
    ]


def _serve() -> list[Flag]:
    return [
        Flag(
            "listen",
            "l",
            "list",
            "ADDRESS",
            "HOST:PORT, :PORT or unix:PATH; may be repeated (default 127.0.0.1:5000)",
        ),
        _STORAGE,
        Flag("tls-cert", "", "str", "FILE", "Certificate, with those between it and its authority, in PEM"),
        Flag("tls-key", "", "str", "FILE", "The certificate's key, in PEM"),
        Flag("tls-min", "", "str", "VERSION", "The oldest TLS", default="1.2", choices=("1.2", "1.3")),
        Flag("plain-http", "", "bool", help="Serve other machines without encryption"),
        Flag("delete", "", "bool", help="Let clients delete what they may", default=True),
        Flag("read-only", "", "bool", help="Let nobody push or delete, and collect no garbage"),
        Flag(
            "htpasswd",
            "",
            "str",
            "FILE",
            "Users and their passwords (bcrypt); without it everybody is let in",
        ),
        Flag("rights", "", "str", "FILE", "Who may pull, push and delete where"),
        Flag(
            "auth",
            "",
            "str",
            "KIND",
            "How clients show who they are",
            default="basic",
            choices=("basic", "token"),
        ),
        Flag("service", "", "str", "NAME", "What the registry is called in tokens", default="lading"),
        Flag(
            "max-uploads", "", "int", "N", "How many uploads a client may have open at once (0: any number)"
        ),
        Flag("max-header", "", "str", "SIZE", "The longest line of a request's head", default="16k"),
        Flag(
            "chunk-min", "", "str", "SIZE", "The smallest chunk that clients are asked to send", default="0"
        ),
        Flag(
            "mirror",
            "",
            "str",
            "REGISTRY",
            "Be a cache of this registry, with the credentials of `lading login`",
        ),
        Flag(
            "mirror-ttl",
            "",
            "str",
            "DURATION",
            "How long a mirrored tag is not asked for again",
            default="5m",
        ),
        Flag(
            "mirror-insecure", "", "bool", help="Reach it by plain HTTP, or without checking its certificate"
        ),
        Flag(
            "mirror-max-size",
            "",
            "str",
            "SIZE",
            "How much a mirror keeps: what was not asked for the longest goes (0: any amount)",
            default="0",
        ),
        Flag(
            "mirror-max-age",
            "",
            "str",
            "DURATION",
            "How long a mirror keeps what nobody asks for (0: always)",
            default="0",
        ),
        Flag("gc-interval", "", "str", "DURATION", "How often garbage is collected (0: never)", default="1h"),
        _GRACE,
        Flag(
            "access-log",
            "",
            "str",
            "FORM",
            "One line a request",
            default="text",
            choices=("text", "json", "none"),
        ),
        Flag("max-blob", "", "str", "SIZE", "The largest blob that is taken", default="64g"),
        Flag(
            "sparse-indexes", "", "bool", help="Take indexes of several platforms of which not all are here"
        ),
        Flag("max-manifest", "", "str", "SIZE", "The largest manifest that is taken", default="4m"),
    ]
