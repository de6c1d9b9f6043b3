"""What is installed in a file system, from what package managers leave in it: dpkg, apk, rpm, Python and npm.

Files are read where the layers have them, no link is followed, and everything in them is a stranger's: sizes are bounded, and
what cannot be read is noted instead of believed.
"""

from __future__ import annotations

import os
import re
import stat
from itertools import islice

from lading.build import packages_rpm
from lading.errors import LadingError
from lading.formats import jsontext
from lading.images import union
from lading.images.tarentry import show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from lading.images.union import Node

_LARGEST = 128 << 20
_SMALL = 4 << 20
_MOST = 200_000


class Package:
    """``kind`` as package URLs have it: deb, apk, rpm, pypi, npm.

    ``origin``: the file that says so. ``source``: what it was built of.
    """

    __slots__ = (
        "architecture",
        "kind",
        "license",
        "name",
        "namespace",
        "origin",
        "source",
        "supplier",
        "version",
    )

    def __init__(self, kind: str, name: str, version: str, origin: str) -> None:
        self.kind = kind
        self.name = name
        self.version = version
        self.origin = origin
        self.namespace = ""
        self.architecture = ""
        self.license = ""
        self.supplier = ""
        self.source = ""

    def purl(self, distribution: str = "") -> str:
        """The package URL. Source: package-url/purl-spec."""
        name = self.name
        if self.kind == "pypi":
            name = re.sub(r"[-_.]+", "-", name.lower())
        parts = [quoted(part) for part in self.namespace.split("/") if part]
        text = f"pkg:{self.kind}/{'/'.join([*parts, quoted(name)])}@{quoted(self.version)}"
        told = []
        if self.architecture:
            told.append(f"arch={quoted(self.architecture)}")
        if distribution and self.kind in ("deb", "apk", "rpm"):
            told.append(f"distro={quoted(distribution)}")
        return f"{text}?{'&'.join(told)}" if told else text


def quoted(text: str) -> str:
    """``text`` percent-encoded as package URLs want it."""
    safe = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~:"
    return "".join(
        c if c in safe else "".join(f"%{b:02X}" for b in c.encode("utf-8", "replace")) for c in text
    )


class Scanned:
    """``packages``, each once; ``system``: ID and VERSION_ID of os-release; ``notes``: what could not be read."""

    def __init__(self) -> None:
        self.packages: list[Package] = []
        self.system: dict[str, str] = {}
        self.notes: list[str] = []

    @property
    def distribution(self) -> str:
        """``debian-12``; empty where nothing says so."""
        return "-".join(
            word for word in (self.system.get("ID", ""), self.system.get("VERSION_ID", "")) if word
        )


def scan(directories: Sequence[str]) -> Scanned:
    """Look through the union of layers (top-most first)."""
    made = Scanned()
    found: list[Package] = []
    for node in union.walk(directories):
        if not stat.S_ISREG(node.there.st_mode):
            continue
        reader = _reader(node.name)
        if reader is None:
            continue
        try:
            found += list(islice(reader(node, made), _MOST + 1 - len(found)))
        except (LadingError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            made.notes.append(f"/{show(node.name)} could not be read: {type(error).__name__}")
        if len(found) > _MOST:
            made.notes.append(f"more than {_MOST} packages: the rest is left out")
            del found[_MOST:]
            break
    seen = set()
    for package in found:
        if package.kind in ("deb", "apk", "rpm"):
            package.namespace = package.namespace or made.system.get("ID", "")
        key = (package.kind, package.namespace, package.name, package.version, package.architecture)
        if key not in seen and package.name and package.version:
            seen.add(key)
            made.packages.append(package)
    made.packages.sort(key=lambda p: (p.kind, p.name, p.version, p.architecture))
    return made


def _reader(name: bytes) -> Callable[[Node, Scanned], Iterable[Package]] | None:
    known = _FIXED.get(name)
    if known is not None:
        return known
    directory, _, last = name.rpartition(b"/")
    if directory == b"var/lib/dpkg/status.d" and not last.endswith((b".md5sums", b".preinst", b".postinst")):
        return _distroless
    if (last == b"METADATA" and directory.endswith(b".dist-info")) or (
        last == b"PKG-INFO" and directory.endswith(b".egg-info")
    ):
        return _python
    if last.endswith(b".egg-info"):
        return _python
    if last == b"package.json" and b"node_modules/" in name:
        above = directory.rpartition(b"node_modules/")[2]
        return _npm if above.count(b"/") == (1 if above[:1] == b"@" else 0) else None
    if last in (b"package-lock.json", b".package-lock.json") and b"node_modules/" not in directory + b"/":
        return _npm_lock
    return None


def _text(node: Node, most: int = _SMALL) -> str:
    fd = os.open(node.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(fd, "rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise ValueError("too large")
    return data.decode("utf-8", "replace")


def _paragraphs(text: str) -> Iterator[dict[str, str]]:
    """Paragraphs of ``Field: value``; lines that go on are left out."""
    fields: dict[str, str] = {}
    for line in text.split("\n"):
        if not line.strip():
            if fields:
                yield fields
            fields = {}
        elif line[0] not in " \t":
            name, colon, value = line.partition(":")
            if colon:
                fields.setdefault(name.lower(), value.strip())
    if fields:
        yield fields


def _system(node: Node, made: Scanned) -> list[Package]:
    for line in _text(node).split("\n"):
        name, equals, value = line.partition("=")
        if equals and name in ("ID", "VERSION_ID", "PRETTY_NAME"):
            made.system.setdefault(name, value.strip().strip("\"'"))
    return []


def _dpkg(node: Node, made: Scanned) -> Iterable[Package]:
    return _debs(node, need_status=True)


def _distroless(node: Node, made: Scanned) -> Iterable[Package]:
    return _debs(node, need_status=False)


def _debs(node: Node, *, need_status: bool) -> Iterator[Package]:
    for fields in _paragraphs(_text(node, _LARGEST)):
        if need_status and not fields.get("status", "").endswith(" installed"):
            continue
        package = Package("deb", fields.get("package", ""), fields.get("version", ""), show(node.name))
        package.architecture = fields.get("architecture", "")
        package.supplier = fields.get("maintainer", "")
        package.source = fields.get("source", "")
        yield package


def _apk(node: Node, made: Scanned) -> Iterator[Package]:
    for block in _text(node, _LARGEST).split("\n\n"):
        fields: dict[str, str] = {}
        for line in block.split("\n"):
            if line[1:2] == ":":
                fields.setdefault(line[0], line[2:])
        package = Package("apk", fields.get("P", ""), fields.get("V", ""), show(node.name))
        package.architecture = fields.get("A", "")
        package.license = fields.get("L", "")
        package.supplier = fields.get("m", "")
        package.source = fields.get("o", "")
        yield package


def _rpm(node: Node, made: Scanned) -> Iterator[Package]:
    path = os.fsdecode(node.path)
    kind = node.name.rpartition(b"/")[2]
    for row in packages_rpm.read_old(path) if kind.startswith(b"Packages") else packages_rpm.read(path):
        version = f"{row.version}-{row.release}" if row.release else row.version
        package = Package(
            "rpm", row.name, f"{row.epoch}:{version}" if row.epoch else version, show(node.name)
        )
        package.architecture = row.architecture
        package.license = row.license
        package.supplier = row.vendor
        package.source = row.source
        yield package


def _python(node: Node, made: Scanned) -> list[Package]:
    head = _text(node).partition("\n\n")[0]
    fields = next(_paragraphs(head), {})
    package = Package("pypi", fields.get("name", ""), fields.get("version", ""), show(node.name))
    package.license = fields.get("license-expression") or fields.get("license", "")
    package.supplier = fields.get("author", "")
    return [package]


def _npm(node: Node, made: Scanned) -> list[Package]:
    return [_npm_package(_object(node), show(node.name))]


def _npm_lock(node: Node, made: Scanned) -> Iterator[Package]:
    value = _object(node)
    packages = value.get("packages")
    if isinstance(packages, dict):
        for path, told in packages.items():
            if isinstance(told, dict) and path:
                name = str(told.get("name") or str(path).rpartition("node_modules/")[2])
                yield _npm_package({**told, "name": name}, show(node.name))
    else:
        waiting = [value.get("dependencies")]
        while waiting:
            level = waiting.pop()
            for name, told in level.items() if isinstance(level, dict) else ():
                if isinstance(told, dict):
                    yield _npm_package({**told, "name": name}, show(node.name))
                    waiting.append(told.get("dependencies"))


def _npm_package(value: dict[str, object], origin: str) -> Package:
    scope, slash, name = str(value.get("name") or "").rpartition("/")
    package = Package("npm", name, str(value.get("version") or ""), origin)
    package.namespace = scope if slash else ""
    license_ = value.get("license")
    if isinstance(license_, dict):  # npm's first form
        license_ = license_.get("type")
    package.license = license_ if isinstance(license_, str) else ""
    return package


def _object(node: Node) -> dict[str, object]:
    value = jsontext.loads(_text(node, _LARGEST))
    if not isinstance(value, dict):
        raise TypeError("no object")
    return value


_FIXED: dict[bytes, Callable[[Node, Scanned], Iterable[Package]]] = {
    b"etc/os-release": _system,
    b"usr/lib/os-release": _system,
    b"var/lib/dpkg/status": _dpkg,
    b"lib/apk/db/installed": _apk,
    b"usr/lib/apk/db/installed": _apk,
    b"var/lib/rpm/rpmdb.sqlite": _rpm,
    b"usr/lib/sysimage/rpm/rpmdb.sqlite": _rpm,
    b"var/lib/rpm/Packages": _rpm,
    b"usr/lib/sysimage/rpm/Packages": _rpm,
    b"var/lib/rpm/Packages.db": _rpm,
    b"usr/lib/sysimage/rpm/Packages.db": _rpm,
}
