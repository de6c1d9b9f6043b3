"""A registry of one's own: ``lading registry``."""

from __future__ import annotations

import os
import sys
import time

from lading.cli.main import complain
from lading.cli.output import listing
from lading.errors import Conflict, InvalidInput, LadingError, NotFound
from lading.formats import duration, sizes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lading.cli.context import Context
    from lading.flags import Parsed
    from lading.registry.settings import Settings, Tls
    from lading.registry.store import Store

DEFAULT_LISTEN = "127.0.0.1:5000"
REPOSITORY_COLUMNS = (
    ("REPOSITORY", "repository"),
    ("TAGS", "tags"),
    ("MANIFESTS", "manifests"),
    ("BLOBS", "blobs"),
    ("SIZE", "size"),
)
TAG_COLUMNS = (("TAG", "tag"), ("DIGEST", "digest"), ("PUSHED", "pushed"))


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
    made.delete, made.read_only = parsed["delete"], parsed["read-only"]
    made.sparse = parsed["sparse-indexes"]
    made.htpasswd, made.rights = parsed["htpasswd"], parsed["rights"]
    made.tokens = parsed["auth"] == "token"
    made.service = parsed["service"]
    if made.tokens and not made.htpasswd:
        raise InvalidInput("--auth token needs --htpasswd: tokens are given for passwords")
    if not made.service or not all(c.isascii() and (c.isalnum() or c in "-._:/ ") for c in made.service):
        raise InvalidInput(f"--service {made.service[:60]!r}: letters, digits, blanks and '-._:/'")
    made.uploads_each = parsed["max-uploads"]
    if made.uploads_each < 0:
        raise InvalidInput(f"--max-uploads {made.uploads_each}: not a number of uploads")
    made.header = _size(parsed, "max-header", least=1024, most=1 << 20)
    made.limits.chunk = sizes.parse(parsed["chunk-min"], what="--chunk-min")
    made.gc_interval = _seconds(parsed, "gc-interval")
    made.gc_grace = _seconds(parsed, "gc-grace")
    if parsed["mirror"]:
        from lading.formats.registry import check_registry
        from lading.registry.settings import Upstream

        check_registry(parsed["mirror"])
        if made.read_only:
            raise InvalidInput(
                "--read-only is not for a mirror: nobody pushes to one, and it keeps what it fetches"
            )
        made.upstream = Upstream(
            parsed["mirror"],
            ttl=_seconds(parsed, "mirror-ttl"),
            config=context.roots.config,
            insecure=parsed["mirror-insecure"],
            size=_size(parsed, "mirror-max-size", least=0),
            age=_seconds(parsed, "mirror-max-age"),
        )
    else:
        for flag in ("mirror-insecure", "mirror-max-size", "mirror-max-age"):
            if parsed[flag] not in (False, "0"):
                raise InvalidInput(f"--{flag} is for a mirror: --mirror says of which registry")
    made.access_log = parsed["access-log"]
    made.limits.blob = _size(parsed, "max-blob")
    made.limits.manifest = _size(parsed, "max-manifest")
    return made


def _tls(parsed: Parsed) -> Tls | None:
    from lading.registry.settings import Tls

    certificate, key = parsed["tls-cert"], parsed["tls-key"]
    if bool(certificate) != bool(key):
        raise InvalidInput("--tls-cert and --tls-key are given together")
    return Tls(certificate, key, parsed["tls-min"]) if certificate else None


def _size(parsed: Parsed, flag: str, *, least: int = 1, most: int = 1 << 62) -> int:
    size = sizes.parse(parsed[flag], what=f"--{flag}")
    if not least <= size <= most:
        raise InvalidInput(f"--{flag} {parsed[flag]}: not between {least} and {most} bytes")
    return size


def _seconds(parsed: Parsed, flag: str) -> float:
    value = duration.seconds(parsed[flag]) if parsed[flag] != "0" else 0.0
    if value < 0:
        raise InvalidInput(f"--{flag} {parsed[flag]}: a time goes forwards")
    return value


# --- looking after a store -------------------------------------------------------------------------------------------


def _store(context: Context, parsed: Parsed) -> Store:
    from lading.registry.store import Store, mirror_name, records

    root = _root(context, parsed)
    mirror = parsed.values.get("mirror", "")
    name = mirror_name(mirror) if mirror else "registry"
    if not os.path.exists(f"{root}/{records(name)}"):
        raise NotFound(
            f"there is no registry in {root}",
            hint="`lading registry serve` makes one, or name it with --storage",
        )
    return Store(root, name)


def ls(context: Context, parsed: Parsed) -> int:
    """Print repositories, or tags."""
    from lading.registry import overview

    store = _store(context, parsed)
    rows: list[dict[str, object]]
    columns: Sequence[tuple[str, str]] = REPOSITORY_COLUMNS
    try:
        if not parsed.args:
            rows = [
                {
                    "repository": entry.name,
                    "tags": entry.tags,
                    "manifests": entry.manifests,
                    "blobs": entry.blobs,
                    "size": sizes.decimal(entry.size),
                }
                for entry in overview.repositories(store)
            ]
        else:
            columns = TAG_COLUMNS
            rows = [
                {
                    "tag": entry.name,
                    "digest": entry.digest,
                    "media_type": entry.media_type,
                    "pushed": duration.ago(max(0.0, time.time() - entry.moved)),
                }
                for entry in overview.tags(store, parsed.args[0])
            ]
    finally:
        store.close()
    listing(rows, columns, template=parsed["format"])
    return 0


def rm(context: Context, parsed: Parsed) -> int:
    """Remove tags, manifests or repositories."""
    from lading.registry import overview

    store = _store(context, parsed)
    failed = 0
    try:
        for name in parsed.args:
            try:
                print(overview.remove(store, name, force=parsed["force"]))
            except LadingError as error:
                complain(error)
                failed = 1
    finally:
        store.close()
    return failed


def gc(context: Context, parsed: Parsed) -> int:
    """Collect garbage once."""
    from lading.registry.garbage import Collector

    store = _store(context, parsed)
    try:
        report = Collector(store, _seconds(parsed, "gc-grace")).run(
            untagged=parsed["untagged"], mirror=bool(parsed["mirror"])
        )
    finally:
        store.close()
    if report is None:
        raise Conflict("garbage is being collected at this moment", hint="try again when that is over")
    for count, what in (
        (report.uploads, "forgotten uploads"),
        (report.manifests, "untagged manifests"),
        (report.links, "unused blobs of repositories"),
        (report.blobs, "blobs of the store"),
    ):
        if count:
            print(f"Removed {count} {what}")
    print(f"Total reclaimed space: {sizes.decimal(report.freed)}")
    return 0


def check(context: Context, parsed: Parsed) -> int:
    """Look for what is broken or lost; 1 when something is."""
    from lading.registry.checking import check as look

    store = _store(context, parsed)
    try:
        findings = look(store, repair=parsed["repair"], mirror=bool(parsed["mirror"]))
    finally:
        store.close()
    for finding in findings:
        print(f"{finding.object}: {finding.problem}{' (repaired)' if finding.repaired else ''}")
    if not findings:
        print("Everything is as its digests say")
    return 1 if any(not finding.repaired for finding in findings) else 0


def freeze(context: Context, parsed: Parsed) -> int:
    """Let nobody change anything."""
    reason = parsed.args[0] if parsed.args else ""
    if not reason.isprintable():
        raise InvalidInput("a reason is one line of text: clients are told it")
    store = _store(context, parsed)
    try:
        store.freeze(reason)
    finally:
        store.close()
    print("Nobody may push or delete until `lading registry thaw`")
    return 0


def thaw(context: Context, parsed: Parsed) -> int:
    """Let clients change things again."""
    store = _store(context, parsed)
    try:
        frozen = store.thaw()
    finally:
        store.close()
    print("Clients may push and delete again" if frozen else "It was not frozen")
    return 0


def passwd(context: Context, parsed: Parsed) -> int:
    """Set or remove a user's password."""
    from lading.registry import passwords

    path, user = parsed.args
    passwords.check_name(user)
    if parsed["remove"]:
        if not passwords.change(path, user, None):
            raise NotFound(f"{path} has no user {user}")
        print(f"Removed {user}")
        return 0
    there = passwords.change(path, user, _password(parsed, user))
    print(f"{'Changed the password of' if there else 'Added'} {user}")
    return 0


def _password(parsed: Parsed, user: str) -> str:
    if parsed["password-stdin"]:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise InvalidInput("there is no terminal to ask for a password", hint="use --password-stdin")
    import getpass

    first = getpass.getpass(f"Password of {user}: ")
    if getpass.getpass("Once more: ") != first:
        raise InvalidInput("the two are not the same")
    return first
