"""``lading trust``: a person sees the fingerprint before a key counts, and can see and take back what counts."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lading.formats.openpgp_packets import spoken
from support.signing import Signer
from support.site import Answer, Authority, Island, Site, meta

pytestmark = [
    pytest.mark.root,
    pytest.mark.peer("gpg"),
    pytest.mark.peer("openssl"),
    pytest.mark.peer("nsenter"),
]

Run = Callable[..., subprocess.CompletedProcess[str]]
USER = "Release <release@example.com>"


@pytest.fixture(scope="module")
def key(signer: Signer) -> str:
    return signer.key(USER)


@pytest.fixture
def run(lading_class, tmp_path: Path) -> Run:
    return lading_class(tmp_path)  # type: ignore[no-any-return]


@pytest.fixture
def key_file(signer: Signer, key: str, tmp_path: Path) -> str:
    (tmp_path / "release.asc").write_bytes(signer.public(key))
    return str(tmp_path / "release.asc")


def stored(tmp_path: Path) -> list[str]:
    base = tmp_path / "config/trustedkeys"
    return sorted(str(path.relative_to(base)) for path in base.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("answer", "taken"), [("y\n", True), ("YES\n", True), ("n\n", False), ("\n", False), ("", False)]
)
def test_a_key_is_shown_and_counts_only_after_a_yes(
    run: Run, key: str, key_file: str, tmp_path: Path, answer: str, taken: bool
) -> None:
    done = run("trust", "--prefix", "example.com/app", key_file, input=answer)
    assert f"Fingerprint: {spoken(key)}\n" in done.stdout and f"User: {USER}\n" in done.stdout
    assert "For: example.com/app\n" in done.stdout and key_file in done.stdout
    assert done.returncode == (0 if taken else 1) and done.stderr == ""
    assert stored(tmp_path) == ([f"prefix.d/example.com,app/{key.lower()}"] if taken else [])


def test_trusted_keys_are_listed_and_removed(run: Run, key: str, key_file: str, tmp_path: Path) -> None:
    for words in (["--root"], ["--prefix=example.com"]):
        run("trust", *words, "--skip-fingerprint-review", key_file, check=True)
    shown = run("trust", "list", check=True).stdout.splitlines()
    assert shown[0].split() == ["PREFIX", "FINGERPRINT", "USER", "FILE"] and len(shown) == 3
    assert (
        key in shown[1]
        and "(every image)" in shown[1]
        and shown[2].startswith("example.com ")
        and USER in shown[2]
    )
    row = json.loads(run("trust", "list", "--prefix", "example.com", "--format", "json", check=True).stdout)
    assert row["fingerprint"] == key and os.path.isfile(row["file"])
    assert run("trust", "remove", "--root", key, check=True).stdout.startswith("Removed: ")
    assert stored(tmp_path) == [f"prefix.d/example.com/{key.lower()}"]
    run("trust", "rm", spoken(key), check=True)
    assert stored(tmp_path) == []
    gone = run("trust", "remove", key)
    assert gone.returncode == 1 and gone.stderr.count("\n") == 1 and "not trusted" in gone.stderr


def test_each_key_of_a_file_is_asked_for(run: Run, signer: Signer, key: str, tmp_path: Path) -> None:
    other = signer.key("Other <other@example.com>")
    (tmp_path / "both").write_bytes(signer.public(key, other))
    done = run("trust", "--root", str(tmp_path / "both"), input="n\ny\n", check=True)
    assert spoken(key) in done.stdout and spoken(other) in done.stdout
    assert stored(tmp_path) == [f"root.d/{other.lower()}"]


def test_a_key_from_standard_input_needs_no_answer_said_in_advance(
    run: Run, signer: Signer, key: str, tmp_path: Path
) -> None:
    text = signer.public(key).decode()
    assert run("trust", "--root", "-", input=text).returncode == 1 and stored(tmp_path) == []
    run("trust", "--root", "--skip-fingerprint-review", "-", input=text, check=True)
    assert stored(tmp_path) == [f"root.d/{key.lower()}"]


def test_a_key_file_of_another_user_is_refused(run: Run, key: str, key_file: str, tmp_path: Path) -> None:
    run("trust", "--root", "--skip-fingerprint-review", key_file, check=True)
    os.chown(tmp_path / "config/trustedkeys/root.d" / key.lower(), 12345, 12345)
    done = run("trust", "list")
    assert done.returncode == 1 and "belongs to user 12345" in done.stderr and key.lower() in done.stderr


def test_mistakes_are_one_line_and_trust_nobody(
    run: Run, signer: Signer, key: str, key_file: str, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_bytes(signer.secret(key))
    (tmp_path / "rubbish").write_text("rubbish")
    for words, said in (
        ([key_file], "--prefix"), (["--root"], "needs a key"), (["--root", "--prefix", "a", key_file], "contradict"),
        (["--prefix", "Not/A Name", key_file], "--prefix"), (["--prefix", "", key_file], "--prefix"),
        (["--root", str(tmp_path / "absent")], "does not exist"), (["--root", str(tmp_path)], "directory"),
        (["--root", "/dev/zero"], "no file"),
        (["--root", str(tmp_path / "secret")], "private key"), (["--root", str(tmp_path / "rubbish")], "armored"),
        (["--root", "http://localhost:1/key"], "plain HTTP"), (["--root", "ftp://localhost/key"], "ftp"),
        (["list", "more"], "more"), (["remove"], "missing"), (["remove", "xyz"], "fingerprint"),
        (["--root", "--format", "json", key_file], "--format"),
    ):  # fmt: skip
        done = run("trust", *words, input="y\n")
        assert done.returncode == 1 and done.stderr.count("\n") == 1 and said in done.stderr, (words, done)
        assert "internal error" not in done.stderr
    assert stored(tmp_path) == []


# -- discovered -----------------------------------------------------------------------------------------------------


@pytest.fixture
def web(tmp_path: Path, run) -> Iterator[tuple[Site, Run]]:  # type: ignore[no-untyped-def]
    """A site at the usual port of a network of its own, and ``lading`` in that network."""
    authority = Authority(tmp_path / "authority")
    authority.trust(tmp_path / "config", "localhost")
    plain = run.argv
    with Island() as island, island.site(authority, 443) as site:
        run.argv = lambda words: ["nsenter", f"--net={island.path}", *plain(words)]
        yield site, run


def test_a_key_is_discovered_on_the_page_of_its_prefix(
    web: tuple[Site, Run], signer: Signer, key: str, tmp_path: Path
) -> None:
    site, run = web
    site.answers["/?ac-discovery=1"] = Answer(
        meta(("discovery-pubkeys", "localhost", "https://localhost/keys.asc"))
    )
    site.answers["/keys.asc"] = Answer(signer.public(key))
    done = run("trust", "--prefix", "localhost/app", input="y\n", check=True)
    assert "Key: https://localhost/keys.asc\n" in done.stdout and spoken(key) in done.stdout
    assert stored(tmp_path) == [f"prefix.d/localhost,app/{key.lower()}"]
    assert site.paths()[0] == "/app?ac-discovery=1" and site.paths()[-1] == "/keys.asc"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(b"", 404), "does not exist"), (Answer(b"<html>no key</html>"), "not ASCII-armored"), (Answer(b"", 500), "500"),
        (Answer(b"", Content_Length=str(1 << 40)), "more than"), (Answer(b"", 302, Location="https://localhost/key"), "circles"),
    ],
)  # fmt: skip
def test_a_key_url_that_means_harm_trusts_nobody(
    web: tuple[Site, Run], tmp_path: Path, answer: Answer, said: str
) -> None:
    site, run = web
    site.answers["/key"] = answer
    done = run("trust", "--root", "--skip-fingerprint-review", "https://localhost/key")
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and said in done.stderr
    assert stored(tmp_path) == []


def test_without_a_page_that_names_keys_one_line_says_so(web: tuple[Site, Run], tmp_path: Path) -> None:
    done = web[1]("trust", "--prefix", "localhost/app", input="y\n")
    assert (
        done.returncode == 1 and done.stderr.count("\n") == 1 and "discovery of localhost/app" in done.stderr
    )
    assert stored(tmp_path) == []


def test_plain_http_is_taken_only_when_asked_for_and_said(
    run: Run, signer: Signer, key: str, tmp_path: Path
) -> None:
    with Site(None) as site:
        site.answers["/key"] = Answer(signer.public(key))
        done = run("trust", "--root", "--insecure-allow-http", f"{site.url}/key", input="y\n", check=True)
    assert "plain HTTP" in done.stderr and stored(tmp_path) == [f"root.d/{key.lower()}"]
