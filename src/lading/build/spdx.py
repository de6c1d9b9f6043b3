"""A software bill of materials as SPDX 2.3 JSON. Source: spdx.github.io/spdx-spec/v2.3."""

from __future__ import annotations

import re
import uuid

from lading import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.build.packages import Package, Scanned

PREDICATE = "https://spdx.dev/Document"
_NONE = "NOASSERTION"
# Of licences that are no identifiers of SPDX's list, only the text is told.
_LICENSES = frozenset(
    """0BSD AFL-2.1 AGPL-3.0-only AGPL-3.0-or-later Apache-1.1 Apache-2.0 Artistic-1.0 Artistic-2.0 BlueOak-1.0.0 BSD-1-Clause
    BSD-2-Clause BSD-2-Clause-Patent BSD-3-Clause BSD-4-Clause BSL-1.0 bzip2-1.0.6 CC-BY-3.0 CC-BY-4.0 CC0-1.0 CDDL-1.0
    curl EPL-1.0 EPL-2.0 FSFAP FTL GFDL-1.3-only GFDL-1.3-or-later GPL-1.0-only GPL-1.0-or-later GPL-2.0-only
    GPL-2.0-or-later GPL-3.0-only GPL-3.0-or-later HPND ICU IJG ISC LGPL-2.0-only LGPL-2.0-or-later LGPL-2.1-only
    LGPL-2.1-or-later LGPL-3.0-only LGPL-3.0-or-later Libpng libtiff MIT MIT-0 MPL-1.1 MPL-2.0 MS-PL NCSA OFL-1.1
    OLDAP-2.8 OpenSSL PostgreSQL PSF-2.0 Python-2.0 Ruby SSH-OpenSSH TCL Unicode-3.0 Unlicense Vim W3C WTFPL X11 Zlib
    ZPL-2.1""".split()
)
_EXCEPTIONS = frozenset(
    "Classpath-exception-2.0 GCC-exception-2.0 GCC-exception-3.1 Autoconf-exception-3.0 OpenSSL-exception LLVM-exception".split()
)


def document(scanned: Scanned, *, name: str, digest: str, purl: str, created: str) -> dict[str, object]:
    """The document for an image: ``name``, the ``digest`` of its manifest, its package URL, and when (RFC 3339, in UTC).

    The same image gives the same document.
    """
    image: dict[str, object] = {
        "SPDXID": "SPDXRef-Image",
        "name": _line(name) or digest,
        "versionInfo": digest,
        "downloadLocation": _NONE,
        "filesAnalyzed": False,
        "licenseConcluded": _NONE,
        "licenseDeclared": _NONE,
        "copyrightText": _NONE,
        "primaryPackagePurpose": "CONTAINER",
        "checksums": [{"algorithm": "SHA256", "checksumValue": digest.partition(":")[2]}]
        if digest.startswith("sha256:")
        else [],
        "externalRefs": [_reference(purl)],
    }
    if not image["checksums"]:
        del image["checksums"]
    packages = [image]
    relations = [_relation("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-Image")]
    if scanned.system.get("ID"):
        packages.append(_system(scanned))
        relations.append(_relation("SPDXRef-Image", "CONTAINS", "SPDXRef-OperatingSystem"))
    for number, package in enumerate(scanned.packages):
        id_ = f"SPDXRef-Package-{number}-{_id(package.kind)}-{_id(package.name)}"
        packages.append(_package(package, id_, scanned.distribution))
        relations.append(_relation("SPDXRef-Image", "CONTAINS", id_))
    told: dict[str, object] = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": _line(name) or digest,
        "documentNamespace": f"https://spdx.org/spdxdocs/lading-{uuid.uuid5(uuid.NAMESPACE_URL, f'{purl} {digest} {created}')}",
        "creationInfo": {"created": _second(created), "creators": [f"Tool: lading-{__version__}"]},
        "packages": packages,
        "relationships": relations,
    }
    if scanned.notes:
        told["comment"] = "; ".join(_line(note) for note in scanned.notes)
    return told


def _system(scanned: Scanned) -> dict[str, object]:
    return {
        "SPDXID": "SPDXRef-OperatingSystem",
        "name": _line(scanned.system["ID"]),
        "versionInfo": _line(scanned.system.get("VERSION_ID", "")) or _NONE,
        "downloadLocation": _NONE,
        "filesAnalyzed": False,
        "licenseConcluded": _NONE,
        "licenseDeclared": _NONE,
        "copyrightText": _NONE,
        "primaryPackagePurpose": "OPERATING-SYSTEM",
    }


def _package(package: Package, id_: str, distribution: str) -> dict[str, object]:
    declared, comment = license_of(package.license)
    made: dict[str, object] = {
        "SPDXID": id_,
        "name": _line(
            "/".join(filter(None, (package.namespace if package.kind == "npm" else "", package.name)))
        ),
        "versionInfo": _line(package.version),
        "supplier": supplier_of(package.supplier),
        "downloadLocation": _NONE,
        "filesAnalyzed": False,
        "licenseConcluded": _NONE,
        "licenseDeclared": declared,
        "copyrightText": _NONE,
        "sourceInfo": f"found in /{_line(package.origin)}",
        "externalRefs": [_reference(package.purl(distribution))],
    }
    if comment:
        made["licenseComments"] = comment
    if package.source:
        made["comment"] = f"built from {_line(package.source)}"
    return made


def license_of(text: str) -> tuple[str, str]:
    """The licence expression, NOASSERTION where ``text`` is none, and then the text as a comment."""
    text = _line(text)
    if not text:
        return _NONE, ""
    words = re.findall(r"[()]|[^\s()]+", text)
    wants_name = True
    depth = 0
    for place, word in enumerate(words):
        if word == "(" and wants_name:
            depth += 1
        elif word == ")" and not wants_name and depth:
            depth -= 1
        elif wants_name and (
            word.removesuffix("+") in _LICENSES
            or (word in _EXCEPTIONS and place and words[place - 1] == "WITH")
        ):
            wants_name = False
        elif not wants_name and word in ("AND", "OR", "WITH"):
            wants_name = True
        else:
            return _NONE, f"as declared: {text}"
    return (text, "") if not wants_name and not depth else (_NONE, f"as declared: {text}")


def supplier_of(text: str) -> str:
    """``Organization: NAME``, or ``Person: NAME (ADDRESS)`` for somebody with an address."""
    text = _line(text)
    if not text:
        return _NONE
    name, bracket, address = text.partition("<")
    if bracket and address.endswith(">") and name.strip():
        return f"Person: {name.strip()} ({address[:-1].strip()})"
    return f"Organization: {text}"


def _reference(purl: str) -> dict[str, str]:
    return {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl}


def _relation(one: str, kind: str, other: str) -> dict[str, str]:
    return {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}


def _id(text: str) -> str:
    """``text`` in the letters that an SPDX identifier may have."""
    return re.sub(r"[^A-Za-z0-9.-]+", "-", text)[:80].strip("-") or "x"


def _line(text: str) -> str:
    """``text`` as one printable line."""
    return "".join(c if c.isprintable() else " " for c in text).strip()[:1000]


def _second(text: str) -> str:
    """RFC 3339 without a fraction, in UTC, as SPDX wants it."""
    found = re.match(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?Z$", text)
    return f"{found[1]}Z" if found else "1970-01-01T00:00:00Z"
