"""The table of ``lading registry``: its commands and their flags."""

from __future__ import annotations

from lading.flags import Command, Flag

_STORAGE = Flag(
    "storage", "", "str", "DIR", "Where its content is kept (default: with the images of this Lading)"
)


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
        Flag("max-blob", "", "str", "SIZE", "The largest blob that is taken", default="64g"),
        Flag("max-manifest", "", "str", "SIZE", "The largest manifest that is taken", default="4m"),
    ]
