"""What package managers leave behind, read as a stranger's, and told as SPDX by its rules."""

from __future__ import annotations

import json
import re
import sqlite3
import struct
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.build import packages, spdx
from lading.build.packages_rpm import header
from lading.build.secrecy import looks_secret

DPKG = """Package: bash
Status: install ok installed
Maintainer: Matthias Klose <doko@debian.org>
Architecture: amd64
Version: 5.2.15-2+b7
Description: a shell
 goes on

Package: gone
Status: deinstall ok config-files
Version: 1
"""
APK = "P:musl\nV:1.2.4-r2\nA:x86_64\nL:MIT\no:musl\nm:Somebody <a@b.c>\nF:lib\nR:x\n\nP:busybox\nV:1.36-r1\nA:x86_64\n"


def rpm_header(**told) -> bytes:
    tags = {
        "name": 1000,
        "version": 1001,
        "release": 1002,
        "epoch": 1003,
        "license": 1014,
        "arch": 1022,
        "source": 1044,
    }
    index, data = b"", b""
    for name, value in told.items():
        if isinstance(value, int):
            data += bytes(-len(data) % 4)
            index += struct.pack(">IIII", tags[name], 4, len(data), 1)
            data += struct.pack(">I", value)
        else:
            index += struct.pack(">IIII", tags[name], 6, len(data), 1)
            data += value.encode() + b"\0"
    return struct.pack(">II", len(told), len(data)) + index + data


@pytest.fixture
def layer(tmp_path):
    top = tmp_path / "layer"

    def put(name, text):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text)

    put("etc/os-release", 'ID=debian\nVERSION_ID="12"\n')
    put("var/lib/dpkg/status", DPKG)
    put("var/lib/dpkg/status.d/tzdata", "Package: tzdata\nVersion: 2024a\nArchitecture: all\n")
    put("lib/apk/db/installed", APK)
    put(
        "usr/lib/python3/dist-packages/Flask_Login-0.6.dist-info/METADATA",
        "Metadata-Version: 2.1\nName: Flask_Login\nVersion: 0.6\nLicense: MIT\n\nVersion: 9\n",
    )
    put(
        "app/node_modules/@scope/thing/package.json",
        '{"name": "@scope/thing", "version": "1.0.0", "license": "ISC"}',
    )
    put("app/node_modules/@scope/thing/test/package.json", '{"name": "hidden", "version": "1"}')
    put(
        "app/node_modules/left/package.json",
        '{"name": "left", "version": "2.0.0", "license": {"type": "MIT"}}',
    )
    put("app/package-lock.json", json.dumps({
        "packages": {"": {"name": "app"}, "node_modules/left": {"version": "2.0.0"}, "node_modules/more": {"version": "3"}},
    }))  # fmt: skip
    put(
        "app/old/package-lock.json",
        '{"dependencies": {"a": {"version": "1", "dependencies": {"b": {"version": "2"}}}}}',
    )
    (top / "usr/lib/sysimage/rpm").mkdir(parents=True)
    database = sqlite3.connect(top / "usr/lib/sysimage/rpm/rpmdb.sqlite")
    database.execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB NOT NULL)")
    rows = [
        rpm_header(
            name="glibc",
            version="2.38",
            release="7.fc39",
            epoch=1,
            arch="x86_64",
            license="LGPL-2.1-or-later",
        ),
        rpm_header(name="gpg-pubkey", version="1", release="1"),
    ]
    database.executemany("INSERT INTO Packages(blob) VALUES (?)", [(row,) for row in rows])
    database.commit()
    database.close()
    return top


def test_every_package_manager_is_read(layer):
    made = packages.scan([str(layer)])
    assert made.notes == []
    assert [p.purl(made.distribution) for p in made.packages] == [
        "pkg:apk/debian/busybox@1.36-r1?arch=x86_64&distro=debian-12",
        "pkg:apk/debian/musl@1.2.4-r2?arch=x86_64&distro=debian-12",
        "pkg:deb/debian/bash@5.2.15-2%2Bb7?arch=amd64&distro=debian-12",
        "pkg:deb/debian/tzdata@2024a?arch=all&distro=debian-12",
        "pkg:npm/a@1",
        "pkg:npm/b@2",
        "pkg:npm/left@2.0.0",
        "pkg:npm/more@3",
        "pkg:npm/%40scope/thing@1.0.0",
        "pkg:pypi/flask-login@0.6",
        "pkg:rpm/debian/glibc@1:2.38-7.fc39?arch=x86_64&distro=debian-12",
    ]


def test_an_upper_layer_hides_what_is_below(layer, tmp_path):
    upper = tmp_path / "upper"
    (upper / "var/lib/dpkg").mkdir(parents=True)
    (upper / "var/lib/dpkg/status").write_text("")
    names = [p.name for p in packages.scan([str(upper), str(layer)]).packages]
    assert "bash" not in names
    assert "tzdata" in names


def test_what_cannot_be_read_is_noted(layer, tmp_path):
    (layer / "usr/lib/sysimage/rpm/rpmdb.sqlite").write_bytes(b"SQLite format 3\0" + bytes(5000))
    (layer / "app/node_modules/left/package.json").write_text("[1")
    (layer / "var/lib/dpkg/status").unlink()
    (layer / "var/lib/dpkg/status").symlink_to("/etc/passwd")
    (layer / "var/lib/rpm").mkdir(parents=True)
    (layer / "var/lib/rpm/Packages").write_bytes(b"x")
    made = packages.scan([str(layer)])
    assert len(made.notes) == 3
    assert not any(p.name in ("bash", "glibc") for p in made.packages)


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        b"\0" * 7,
        struct.pack(">II", 1, 0),
        struct.pack(">II", 1 << 30, 1 << 30),
        struct.pack(">II", 1, 2) + struct.pack(">IIII", 1000, 6, 0, 1) + b"ab",
    ],
)
def test_broken_headers_of_rpm_are_refused(blob):
    with pytest.raises(ValueError):
        header(blob)


def test_a_header_s_texts_are_bounded_and_others_are_not_read():
    long = b"a" * (1 << 17) + b"\0"

    def blob(tag: int) -> bytes:
        return struct.pack(">II", 1, len(long)) + struct.pack(">IIII", tag, 6, 0, 1) + long

    with pytest.raises(ValueError):
        header(blob(1000))
    assert header(blob(1005)) == {}


@pytest.mark.parametrize(
    "schema",
    [
        "CREATE VIEW Packages AS WITH RECURSIVE n(blob) AS (SELECT 1 UNION ALL SELECT blob + 1 FROM n) SELECT blob FROM n",
        "CREATE TABLE Packages (n INT, blob AS (hex(zeroblob(100000000))))",
    ],
)
def test_a_database_that_computes_is_noted_and_not_carried_out(tmp_path, schema):
    (tmp_path / "var/lib/rpm").mkdir(parents=True)
    database = sqlite3.connect(tmp_path / "var/lib/rpm/rpmdb.sqlite")
    database.execute(schema)
    if "TABLE" in schema:
        database.execute("INSERT INTO Packages(n) VALUES (1)")
    database.commit()
    database.close()
    made = packages.scan([str(tmp_path)])
    assert made.notes == ["/var/lib/rpm/rpmdb.sqlite could not be read: ValueError"]


def test_one_file_cannot_name_more_packages_than_are_kept(layer, monkeypatch):
    monkeypatch.setattr(packages, "_MOST", 3)
    (layer / "lib/apk/db/installed").write_text("".join(f"P:p{n}\nV:1\n\n" for n in range(100)))
    made = packages.scan([str(layer)])
    assert len(made.packages) == 3
    assert made.notes == ["more than 3 packages: the rest is left out"]


def test_numbers_that_lead_nowhere_are_left_out():
    blob = struct.pack(">II", 1, 2) + struct.pack(">IIII", 1000, 6, 99, 1) + b"a\0"
    assert header(blob) == {}


# -- SPDX ------------------------------------------------------------------------------------------------------------


def validate(document: dict) -> None:
    """The rules of SPDX 2.3's JSON schema and of its text that concern what is written here."""
    id_ = re.compile(r"SPDXRef-[A-Za-z0-9.-]+$")
    assert document["spdxVersion"] == "SPDX-2.3"
    assert document["dataLicense"] == "CC0-1.0"
    assert document["SPDXID"] == "SPDXRef-DOCUMENT"
    assert re.match(r"[a-z][a-z0-9+.-]*:[^#\s]+$", document["documentNamespace"])
    info = document["creationInfo"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", info["created"])
    assert info["creators"]
    assert all(re.match(r"(Tool|Organization|Person): \S", creator) for creator in info["creators"])
    ids = {document["SPDXID"]}
    for package in document["packages"]:
        assert id_.match(package["SPDXID"])
        assert package["SPDXID"] not in ids
        ids.add(package["SPDXID"])
        assert package["name"]
        assert package["downloadLocation"] in ("NOASSERTION", "NONE") or "://" in package["downloadLocation"]
        assert package["filesAnalyzed"] is False
        assert "packageVerificationCode" not in package
        assert "hasFiles" not in package
        assert re.match(r"NOASSERTION$|Organization: \S|Person: \S", package.get("supplier", "NOASSERTION"))
        assert package["licenseDeclared"] == "NOASSERTION" or re.fullmatch(
            r"[\w.+() -]+", package["licenseDeclared"]
        )
        for reference in package.get("externalRefs", []):
            assert reference["referenceCategory"] in ("SECURITY", "PACKAGE-MANAGER", "PERSISTENT-ID", "OTHER")
            assert reference["referenceType"] == "purl"
            assert re.match(r"pkg:[a-z]+/\S+$", reference["referenceLocator"])
        for checksum in package.get("checksums", []):
            assert checksum["algorithm"] == "SHA256"
            assert re.fullmatch(r"[0-9a-f]{64}", checksum["checksumValue"])
        assert all(isinstance(v, (str, bool, list)) and v != "" and v != [] for v in package.values())
        assert all(v.isprintable() for v in package.values() if isinstance(v, str))
    for relation in document["relationships"]:
        assert relation["spdxElementId"] in ids
        assert relation["relatedSpdxElement"] in ids
        assert relation["relationshipType"] in ("DESCRIBES", "CONTAINS")
    assert any(r["relationshipType"] == "DESCRIBES" for r in document["relationships"])


def test_the_document_keeps_the_rules_and_names_every_package(layer):
    made = packages.scan([str(layer)])

    def tell():
        return spdx.document(
            made,
            name="app:1",
            digest="sha256:" + "1" * 64,
            purl="pkg:docker/app@1",
            created="2024-01-02T03:04:05.678Z",
        )

    document = tell()
    validate(document)
    assert document == tell()
    assert len(document["packages"]) == len(made.packages) + 2
    by_name = {p["name"]: p for p in document["packages"]}
    assert by_name["bash"]["supplier"] == "Person: Matthias Klose (doko@debian.org)"
    assert by_name["@scope/thing"]["licenseDeclared"] == "ISC"
    assert by_name["left"]["licenseDeclared"] == "MIT"
    assert by_name["debian"]["primaryPackagePurpose"] == "OPERATING-SYSTEM"


def test_hostile_words_stay_one_printable_line(layer):
    (layer / "var/lib/dpkg/status").write_text(
        "Package: a\x1b[2Jb\nStatus: install ok installed\nVersion: 1\x00 2\nMaintainer: <>\nArchitecture: ../../x\n"
    )
    validate(
        spdx.document(
            packages.scan([str(layer)]),
            name="\x1b",
            digest="sha256:" + "1" * 64,
            purl="pkg:docker/x",
            created="?",
        )
    )


@pytest.mark.parametrize(
    "text,wanted",
    [
        ("MIT", "MIT"),
        ("GPL-2.0-or-later WITH GCC-exception-3.1", "GPL-2.0-or-later WITH GCC-exception-3.1"),
        ("(MIT OR Apache-2.0) AND ISC", "(MIT OR Apache-2.0) AND ISC"),
        ("MIT OR", "NOASSERTION"),
        ("(MIT", "NOASSERTION"),
        ("BSD", "NOASSERTION"),
        ("MIT License", "NOASSERTION"),
        ("", "NOASSERTION"),
    ],
)
def test_only_licence_expressions_are_declared(text, wanted):
    assert spdx.license_of(text)[0] == wanted


def test_what_looks_like_a_secret_is_known():
    for name, value in [
        ("NPM_TOKEN", "x"), ("db_password", ""), ("APIKEY", "1"), ("X", "-----BEGIN RSA PRIVATE KEY-----"),
        ("URL", "https://user:pass@host/x"), ("A", "ghp_" + "a" * 36), ("AWS", "AKIA" + "A" * 16),
    ]:  # fmt: skip
        assert looks_secret(name, value), name
    for name, value in [("VERSION", "1.2"), ("URL", "https://host/x"), ("FLAVOUR", "sweet")]:
        assert not looks_secret(name, value)


TOLD = st.lists(
    st.sampled_from([
        "Package: a\n", "Version: 1\n", "Status: install ok installed\n", "\n", " goes on\n", "P:b\n", "V:2\n", "ID=x\n",
        "Name: c\n",
        '{"name": ', '"@a/b"', ', "version": ', '"1"', "}", '{"packages": {', '"node_modules/a": {}', "[", "\0", "é", ":", "=",
    ])
    | st.text(max_size=5),
    max_size=12,
).map("".join)  # fmt: skip


@given(TOLD | st.binary(max_size=200))
def test_whatever_a_layer_has_in_these_files_gives_packages_or_a_note(told):
    data = told if isinstance(told, bytes) else told.encode("utf-8", "replace")
    names = (
        "etc/os-release",
        "var/lib/dpkg/status",
        "lib/apk/db/installed",
        "a.dist-info/METADATA",
        "package-lock.json",
    )
    with tempfile.TemporaryDirectory() as directory:
        top = Path(directory)
        for name in (*names, "node_modules/a/package.json", "var/lib/rpm/rpmdb.sqlite"):
            (top / name).parent.mkdir(parents=True, exist_ok=True)
            (top / name).write_bytes(data)
        made = packages.scan([str(top)])
    assert len(made.notes) <= 7
    document = spdx.document(
        made, name="x", digest="sha256:" + "0" * 64, purl="", created="2020-01-01T00:00:00Z"
    )
    assert json.dumps(document)
    try:
        header(data)
    except ValueError:
        pass
