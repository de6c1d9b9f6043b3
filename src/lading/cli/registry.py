"""A registry of one's own: ``lading registry``."""

from __future__ import annotations

import os
import sys

from lading.errors import InvalidInput
from lading.formats import sizes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.cli.context import Context
    from lading.flags import Parsed
    from lading.registry.settings import Settings, Tls

DEFAULT_LISTEN = "127.0.0.1:5000"


def serve(context: Context, parsed: Parsed) -> int:
    """Serve until told to stop."""
    from lading.registry.edge.server import run

    run(_settings(context, parsed), _say)
    return 0


def _say(text: str) -> None:
    print(f"lading registry: {text}", file=sys.stderr, flush=True)


def _root(context: Context, parsed: Parsed) -> str:
    return os.path.abspath(parsed["storage"]) if parsed["storage"] else context.roots.images


def _settings(context: Context, parsed: Parsed) -> Settings:
    from lading.registry.settings import Settings

    made = Settings(_root(context, parsed), parsed["listen"] or [DEFAULT_LISTEN])
    made.tls = _tls(parsed)
    made.plain_http = parsed["plain-http"]
    made.delete = parsed["delete"]
    made.limits.blob = _size(parsed, "max-blob")
    made.limits.manifest = _size(parsed, "max-manifest")
    return made


def _tls(parsed: Parsed) -> Tls | None:
    from lading.registry.settings import Tls

    certificate, key = parsed["tls-cert"], parsed["tls-key"]
    if bool(certificate) != bool(key):
        raise InvalidInput("--tls-cert and --tls-key are given together")
    return Tls(certificate, key, parsed["tls-min"]) if certificate else None


def _size(parsed: Parsed, flag: str) -> int:
    size = sizes.parse(parsed[flag], what=f"--{flag}")
    if size < 1:
        raise InvalidInput(f"--{flag} {parsed[flag]}: at least one byte")
    return size
