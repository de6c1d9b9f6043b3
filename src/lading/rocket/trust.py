"""``lading trust``: keys shown by their fingerprints, accepted, listed and taken away."""

from __future__ import annotations

import os
import stat
import sys
import time

from lading.cli.output import confirm, listing
from lading.errors import InvalidInput, LadingError, NotFound
from lading.formats.appc.names import check_identifier
from lading.formats.openpgp import LARGEST
from lading.formats.openpgp_packets import spoken
from lading.images.aci.discover import Discovery
from lading.images.aci.trust import TrustStore, read_keys
from lading.images.aci.web import Web

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.cli.context import Context
    from lading.flags import Parsed
    from lading.formats.openpgp_packets import Key

_COLUMNS = (("PREFIX", "prefix"), ("FINGERPRINT", "fingerprint"), ("USER", "user"), ("FILE", "file"))


def trust(context: Context, parsed: Parsed) -> int:
    """Trust keys, or, by the first word, list or remove those that are trusted."""
    store = TrustStore.of(context.roots)
    word = parsed.args[0] if parsed.args else ""
    if word == "list":
        return _list(store, parsed)
    if word in ("remove", "rm"):
        return _remove(store, parsed)
    if parsed["format"]:
        raise InvalidInput("--format goes with list")
    return _add(context, store, parsed)


def _add(context: Context, store: TrustStore, parsed: Parsed) -> int:
    prefix = _prefix(parsed)
    if prefix is None:
        raise InvalidInput(
            "whose signatures count for which images is missing",
            hint="--prefix NAME for what is below a name, --root for every image",
        )
    if not prefix and not parsed.args:
        raise InvalidInput("--root needs a key", hint="name its file or URL: no page speaks for every image")
    plain, sure = parsed["insecure-allow-http"], parsed["skip-fingerprint-review"]
    if plain:
        _say(
            "warning: --insecure-allow-http: over plain HTTP, whoever is on the way can hand us a key of their own"
        )
    # As `lading rkt trust` it has flags before the verb, too.
    from lading.rocket.rkt.insecure import of_line

    unsafe = of_line(parsed.globals, ())
    plain = plain or unsafe.http or unsafe.pubkey
    with Web(context.roots.config, http=plain, tls=not (unsafe.tls or unsafe.pubkey)) as web:
        sources = parsed.args or Discovery(web, time.time()).keys(prefix)
        taken = 0
        for source in sources:
            known = sure or (unsafe.trusting and source.lower().startswith("https://"))
            for key in read_keys(_content(web, source, sure), what=source):
                taken += _ask(store, key, prefix, source, sure=known)
    return 0 if taken else 1


def _ask(store: TrustStore, key: Key, prefix: str, source: str, *, sure: bool) -> bool:
    """Show one key, and trust it when the answer is yes."""
    made = time.strftime("%Y-%m-%d", time.gmtime(key.created))
    lines = [
        f"Key: {_clean(source)}",
        f"For: {prefix or 'every image'}",
        f"Fingerprint: {spoken(key.fingerprint)}",
        f"Made: {made}",
        *(f"User: {user}" for user in key.users[:10]),
    ]
    print("\n".join(lines), flush=True)
    if not confirm("Is this the key you want to trust?", sure):
        print("Not trusted")
        return False
    print(f"Trusted: {store.add(key, prefix)}")
    return True


def _content(web: Web, source: str, sure: bool) -> bytes:
    """The bytes of a key file: a URL, a path, or standard input for ``-``."""
    if "://" in source:
        return web.read(source, LARGEST, what=f"key {source}")
    try:
        if source == "-":
            if not sure:
                raise InvalidInput(
                    "- leaves no input for the answer", hint="name a file, or use --skip-fingerprint-review"
                )
            return sys.stdin.buffer.read(LARGEST + 1)
        with open(source, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK)) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise InvalidInput(f"{source} is no file")
            return file.read(LARGEST + 1)
    except FileNotFoundError:
        raise NotFound(f"{source} does not exist", hint="name a file or a URL of keys") from None
    except OSError as error:
        raise LadingError(f"{source}: {error.strerror}", reason="io") from None


def _list(store: TrustStore, parsed: Parsed) -> int:
    if len(parsed.args) > 1:
        raise InvalidInput(f"list takes no {parsed.args[1]!r}", hint="--prefix NAME shows one prefix alone")
    wanted = _prefix(parsed)
    rows = [
        {
            "prefix": entry.prefix or "(every image)",
            "fingerprint": entry.fingerprint,
            "user": "(not trusted)" if entry.key is None else "".join(entry.key.users[:1]),
            "file": entry.path,
        }
        for entry in store.entries()
        if wanted in (None, entry.prefix)
    ]
    listing(rows, _COLUMNS, template=parsed["format"])
    return 0


def _remove(store: TrustStore, parsed: Parsed) -> int:
    fingerprints = parsed.args[1:]
    if not fingerprints:
        raise InvalidInput("which key to remove is missing", hint="`lading trust list` shows fingerprints")
    prefix = _prefix(parsed)
    for fingerprint in fingerprints:
        for path, masked in store.remove(fingerprint, prefix):
            print(f"Masked: {path}" if masked else f"Removed: {path}")
    return 0


def _prefix(parsed: Parsed) -> str | None:
    """What ``--prefix`` and ``--root`` say: a prefix, empty for every image, None for neither."""
    prefix, root = parsed["prefix"], parsed["root"]
    if root and prefix is not None:
        raise InvalidInput("--root and --prefix contradict each other")
    if prefix is None:
        return "" if root else None
    return check_identifier(prefix, "--prefix")


def _clean(text: str) -> str:
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
