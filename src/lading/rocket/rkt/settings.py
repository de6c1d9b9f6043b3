"""``lading rkt version``, ``config`` and ``metadata-service``: what is set, and what needs no setting."""

from __future__ import annotations

import base64
import os
import sys

from lading.formats import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.cli.context import Context
    from lading.flags import Parsed
    from lading.formats.appc.credentials import Credential, Login
    from lading.images.auth import Credentials
    from lading.roots import Roots


def version(context: Context, parsed: Parsed) -> int:
    """Say what runs, and which specification it keeps to."""
    import platform

    from lading import __version__
    from lading.formats.appc.values import VERSION
    from lading.formats.platform import host

    here = host()
    print(f"Lading Version: {__version__}")
    print(f"appc Version: {VERSION}")
    print(f"Python Version: {platform.python_version()}")
    print(f"Python OS/Arch: {here.os}/{here.architecture}")
    return 0


# --- what is set ----------------------------------------------------------------------------------------------------


def config(context: Context, parsed: Parsed) -> int:
    """Print what is set, in entries as Rocket's configuration files have them."""
    from lading.images.aci.configured import credentials, logins
    from lading.images.auth import plain

    known = credentials(context.roots.config)
    entries = [_auth(known[domain]) for domain in sorted(known)]
    registries: dict[str, Credentials | Login] = {**plain(os.environ), **logins(context.roots.config)}
    entries += [_registry(name, registries[name]) for name in sorted(registries)]
    entries.append(_paths(context.roots))
    entries += _trusted(context.roots)
    print(jsontext.dumps({"stage0": entries}, indent=2 if parsed["pretty-print"] else 0))
    return 0


def _entry(kind: str, **members: object) -> dict[str, object]:
    return {"rktVersion": "v1", "rktKind": kind, **members}


def _auth(one: Credential) -> dict[str, object]:
    if one.keys is not None:
        keys = {
            "accessKeyID": one.keys.access,
            "secretAccessKey": one.keys.secret,
            "awsRegion": one.keys.region,
        }
        return _entry("auth", domains=[one.domain], type="aws", credentials=keys)
    scheme, _, secret = one.header.partition(" ")
    if scheme == "Bearer":
        return _entry("auth", domains=[one.domain], type="oauth", credentials={"token": secret})
    user, _, password = base64.b64decode(secret).decode().partition(":")
    return _entry(
        "auth", domains=[one.domain], type="basic", credentials={"user": user, "password": password}
    )


def _registry(name: str, one: Credentials | Login) -> dict[str, object]:
    return _entry("dockerAuth", registries=[name], credentials={"user": one.user, "password": one.password})


def _paths(roots: Roots) -> dict[str, object]:
    return _entry("paths", data=roots.data, run=roots.run, config=roots.config)


def _trusted(roots: Roots) -> list[dict[str, object]]:
    """An entry a key: whose signatures count for which images. One without a prefix counts for all."""
    from lading.images.aci.trust import TrustStore

    return [
        _entry("trust", prefix=entry.prefix, fingerprint=entry.fingerprint, path=entry.path)
        for entry in TrustStore.of(roots).entries()
        if entry.key is not None
    ]


# --- what needs no setting ------------------------------------------------------------------------------------------


def metadata_service(context: Context, parsed: Parsed) -> int:
    """Wait to be ended, in the place of the service that unit files written for Rocket start.

    To end at once would be taken for a failure by units that are to be restarted or that others are bound to.
    """
    import signal

    from lading.node import notifying

    ending = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
    signal.pthread_sigmask(signal.SIG_BLOCK, ending)
    print(
        "every pod has a metadata service of its own: there is nothing to serve here, and nothing listens",
        file=sys.stderr,
        flush=True,
    )
    notifying.notify("READY=1\nSTATUS=every pod has a metadata service of its own")
    signal.sigwait(ending)
    notifying.notify("STOPPING=1")
    return 0
