"""``lading aci fetch``: from a name to a root, with a signature on the way; what it says of its ways and does without."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.registry import Registry, tar
from support.signing import Signer
from support.site import Answer, Authority, Island, Site, meta

pytestmark = [
    pytest.mark.root, pytest.mark.peer("gpg"), pytest.mark.peer("gpgv"), pytest.mark.peer("openssl"), pytest.mark.peer("nsenter"),
]  # fmt: skip

Run = Callable[..., subprocess.CompletedProcess[str]]
MANIFEST = {
    "acKind": "ImageManifest",
    "acVersion": "0.8.11",
    "name": "localhost/app",
    "labels": [{"name": "version", "value": "1"}],
}


@pytest.fixture(scope="module")
def key(signer: Signer) -> str:
    return signer.key("Release <release@example.com>")


@pytest.fixture
def web(lading_class, tmp_path: Path, signer: Signer, key: str) -> Iterator[tuple[Site, Run]]:  # type: ignore[no-untyped-def]
    """A site at the usual port of a network of its own with a signed image, and ``lading`` in that network."""
    run = lading_class(tmp_path)
    (tmp_path / "app/rootfs").mkdir(parents=True)
    (tmp_path / "app/rootfs/file").write_text("from the site\n")
    (tmp_path / "app/manifest").write_text(json.dumps(MANIFEST))
    run("aci", "build", str(tmp_path / "app"), "-o", str(tmp_path / "app.aci"), check=True)
    data = (tmp_path / "app.aci").read_bytes()
    authority = Authority(tmp_path / "authority")
    authority.trust(tmp_path / "config", "localhost")
    plain = run.argv
    with Island() as island, island.site(authority, 443) as site:
        run.argv = lambda words: ["nsenter", f"--net={island.path}", *plain(words)]
        site.answers["/?ac-discovery=1"] = Answer(
            meta(("discovery", "localhost", "https://localhost/{name}-{version}.{ext}"),
                 ("discovery-pubkeys", "localhost", "https://localhost/keys"))
        )  # fmt: skip
        site.answers["/keys"] = Answer(signer.public(key))
        site.answers["/localhost/app-1.aci"] = Answer(data)
        site.answers["/localhost/app-1.aci.asc"] = Answer(signer.sign(data, key))
        yield site, run


def test_trust_then_fetch_then_render(web: tuple[Site, Run], key: str, tmp_path: Path) -> None:
    site, run = web
    refused = run("aci", "fetch", "localhost/app:1")
    assert refused.returncode == 1 and "lading trust --prefix localhost/app" in refused.stderr
    run("trust", "--prefix", "localhost/app", input="y\n", check=True)
    done = run("aci", "fetch", "localhost/app:1", check=True)
    image = done.stdout.strip()
    assert (
        image.startswith("sha512-")
        and key in done.stderr
        and "https://localhost/localhost/app-1.aci" in done.stderr
    )
    run("aci", "render", "--rootfs-only", "localhost/app:1", str(tmp_path / "out"), check=True)
    assert (tmp_path / "out/file").read_text() == "from the site\n"
    asked = len(site.asked)
    for text in ("localhost/app:1", image, image[:20]):
        assert run("aci", "fetch", "--pull", "never", text, check=True).stdout.strip() == image
    assert len(site.asked) == asked
    assert run("aci", "fetch", "--quiet", "--pull", "always", "localhost/app:1", check=True).stderr == ""


def test_what_is_done_without_is_said(web: tuple[Site, Run]) -> None:
    site, run = web
    del site.answers["/localhost/app-1.aci.asc"]
    done = run("aci", "fetch", "--insecure", "image", "--insecure-options=tls", "localhost/app:1", check=True)
    assert "warning: --insecure image: " in done.stderr and "warning: --insecure tls: " in done.stderr
    assert "--insecure http" not in done.stderr


def test_mistakes_are_one_line(web: tuple[Site, Run], tmp_path: Path) -> None:
    run = web[1]
    for words, said in (
        (["--insecure", "everything", "localhost/app"], "everything"), (["sha512-" + "0" * 30], "not here"),
        (["ftp://localhost/app"], "ftp"), (["Not A Name"], "AC Identifier"), (["./absent.aci"], "no such file"),
        (["--insecure=none", "http://localhost/app.aci"], "plain HTTP"),
        (["--signature", "x", "localhost/app", "localhost/b"], "one image"),
        (["--signature", "x", "localhost/app"], "signature is"), (["--pull", "never", "docker://absent"], "absent"),
        (["--pull", "sometimes", "localhost/app"], "sometimes"), ([str(tmp_path)], "no signature"),
    ):  # fmt: skip
        done = run("aci", "fetch", *words)
        assert done.returncode in (1, 125) and done.stderr.count("\n") == 1 and said in done.stderr, (
            words,
            done,
        )
        assert "internal error" not in done.stderr
    assert run("images", "--quiet", check=True).stdout == ""


def test_keys_that_a_page_names_are_trusted_where_that_is_asked_for(web: tuple[Site, Run], key: str) -> None:
    _, run = web
    done = run("rkt", "fetch", "--trust-keys-from-https", "localhost/app:1", check=True)
    assert done.stdout.startswith("sha512-") and "warning: --trust-keys-from-https: " in done.stderr
    assert f"trusts {key} of https://localhost/keys" in done.stderr
    listed = run("trust", "list", "--format={prefix} {fingerprint}", check=True).stdout
    assert listed == f"localhost/app {key}\n"


def test_such_keys_come_over_https_unless_that_is_given_up_too(
    web: tuple[Site, Run], key: str, tmp_path: Path
) -> None:
    _, run = web
    (tmp_path / "config/certs.d/localhost/ca.crt").unlink()
    words = ("--trust-keys-from-https", "--insecure-options=tls", "localhost/app:1")
    refused = run("rkt", "fetch", *words)
    assert refused.returncode == 254 and "certificate" in refused.stderr, refused.stderr
    assert run("trust", "list", "--format={prefix}", check=True).stdout == ""
    done = run("rkt", "--insecure-options=pubkey", "fetch", *words, check=True)
    assert f"trusts {key}" in done.stderr and "warning: --insecure-options pubkey: " in done.stderr


def test_credentials_come_from_the_directories_that_are_named(web: tuple[Site, Run], tmp_path: Path) -> None:
    site, run = web
    for directory, user in (("system", "sys"), ("user", "me")):
        (tmp_path / directory / "auth.d").mkdir(parents=True)
        entry = {
            "rktKind": "auth", "rktVersion": "v1", "domains": ["localhost"], "type": "oauth",
            "credentials": {"token": user},
        }  # fmt: skip
        (tmp_path / directory / "auth.d/a.json").write_text(json.dumps(entry))
    system, own = f"--system-config={tmp_path}/system", f"--user-config={tmp_path}/user"
    for words, token in (([system], "sys"), ([system, own], "me")):
        site.asked.clear()
        run(
            "rkt",
            *words,
            "fetch",
            "--trust-keys-from-https",
            "--pull-policy=update",
            "localhost/app:1",
            check=True,
        )
        asked = {request.headers.get("authorization") for request in site.asked}
        assert asked == {f"Bearer {token}"}
    shown = json.loads(run("rkt", "config", own, check=True).stdout)["stage0"]
    assert shown[0]["credentials"] == {"token": "me"}


def test_a_registry_is_logged_in_to_by_rockets_files(lading_class, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    run = lading_class(tmp_path)
    with Registry(auth="basic") as registry:
        registry.image("team/app", "1", tar({"file": b"x"}))
        words = ("rkt", "--insecure-options=http", f"--local-config={tmp_path}/local", "fetch")
        reference = f"docker://{registry.host}/team/app:1"
        (tmp_path / "local/auth.d").mkdir(parents=True)
        assert run(*words, reference).returncode == 254
        entry = {
            "rktKind": "dockerAuth", "rktVersion": "v1", "registries": [registry.host],
            "credentials": {"user": "alice", "password": "secret"},
        }  # fmt: skip
        (tmp_path / "local/auth.d/registry.json").write_text(json.dumps(entry))
        assert run(*words, reference, check=True).stdout.startswith("sha512-")


def _archive(name: str, *files: str) -> bytes:
    """An image archive with empty files of these names, however they are meant."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as made:
        for path in ("manifest", "rootfs", *files):
            info = tarfile.TarInfo(path)
            info.type = tarfile.DIRTYPE if path == "rootfs" else tarfile.REGTYPE
            data = json.dumps({**MANIFEST, "name": name}).encode() if path == "manifest" else b""
            info.size = len(data)
            made.addfile(info, io.BytesIO(data))
    return out.getvalue()


def _loop(site: Site, signer: Signer, key: str, data: bytes) -> None:
    site.answers["/?ac-discovery=1"] = Answer(b"", 302, Location="/?ac-discovery=1")


def _huge_page(site: Site, signer: Signer, key: str, data: bytes) -> None:
    site.answers["/?ac-discovery=1"] = lambda _: Answer(iter(b"<p>" * 10000 for _ in range(100)))


def _lie(site: Site, signer: Signer, key: str, data: bytes) -> None:
    """The page speaks of everybody's images, and leads to one that is another."""
    other = _archive("localhost/other")
    site.answers["/localhost/app-1.aci"] = Answer(other)
    site.answers["/localhost/app-1.aci.asc"] = Answer(signer.sign(other, key))


def _others_template(site: Site, signer: Signer, key: str, data: bytes) -> None:
    site.answers["/?ac-discovery=1"] = Answer(
        meta(("discovery", "localhost/ap", "https://localhost/{name}.{ext}"))
    )


def _missing(site: Site, signer: Signer, key: str, data: bytes) -> None:
    del site.answers["/localhost/app-1.aci.asc"]


def _of_another(site: Site, signer: Signer, key: str, data: bytes) -> None:
    site.answers["/localhost/app-1.aci.asc"] = Answer(signer.sign(data + b"x", key))


def _by_nobody(site: Site, signer: Signer, key: str, data: bytes) -> None:
    stranger = signer.key("Stranger <stranger@example.com>")
    site.answers["/localhost/app-1.aci.asc"] = Answer(signer.sign(data, stranger))


def _twice(site: Site, signer: Signer, key: str, data: bytes) -> None:
    other = _archive("localhost/app", "rootfs/a", "./rootfs//a")
    site.answers["/localhost/app-1.aci"] = Answer(other)
    site.answers["/localhost/app-1.aci.asc"] = Answer(signer.sign(other, key))


def _escaping(site: Site, signer: Signer, key: str, data: bytes) -> None:
    other = _archive("localhost/app", "rootfs/../../../a")
    site.answers["/localhost/app-1.aci"] = Answer(other)
    site.answers["/localhost/app-1.aci.asc"] = Answer(signer.sign(other, key))


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (_missing, "there is no signature"),
        (_of_another, "not a signature of this file"),
        (_by_nobody, "no trusted key"),
        (_loop, "redirect"),
        (_huge_page, "more than 1048576 bytes"),
        (_lie, "is the image localhost/other:1"),
        (_others_template, "no ac-discovery tag for it"),
        (_twice, "localhost/app:1: a is in the archive twice"),
        (_escaping, "localhost/app:1: rootfs/../../../a: the name leaves its directory"),
    ],
)
def test_what_means_harm_is_one_line_and_nothing_is_stored_or_run(
    web: tuple[Site, Run],
    signer: Signer,
    key: str,
    tmp_path: Path,
    harm: Callable[[Site, Signer, str, bytes], None],
    said: str,
) -> None:
    site, run = web
    run("trust", "--prefix", "localhost", input="y\n", check=True)
    harm(site, signer, key, (tmp_path / "app.aci").read_bytes())
    for words in (["fetch"], ["run", "--net=none"], ["prepare"]):
        done = run("rkt", *words, "localhost/app:1", *(["--exec=/x"] if words != ["fetch"] else []))
        assert done.returncode == 254 and done.stdout == "", done
        *told, last = done.stderr.splitlines()
        assert last.startswith(f"lading rkt {words[0]}: ") and said in last, done.stderr
        assert not any(line.startswith("lading") for line in told)
    assert run("images", "--quiet", check=True).stdout == ""
    assert run("rkt", "list", "--no-legend", check=True).stdout == ""
    kept = [
        path for path in (tmp_path / "data").rglob("*") if path.is_file() and path.parent.name == "sha256"
    ]
    assert kept == []


def test_a_pod_is_run_of_what_discovery_finds(
    web: tuple[Site, Run], signer: Signer, key: str, tmp_path: Path
) -> None:
    site, run = web
    tool = tmp_path / "tool"
    (tool / "rootfs").mkdir(parents=True)
    shutil.copy("/bin/busybox", tool / "rootfs/busybox")
    (tool / "manifest").write_text(json.dumps({**MANIFEST, "name": "localhost/tool"}))
    run("aci", "build", str(tool), "-o", str(tmp_path / "tool.aci"), check=True)
    data = (tmp_path / "tool.aci").read_bytes()
    site.answers["/localhost/tool-1.aci"] = Answer(data)
    site.answers["/localhost/tool-1.aci.asc"] = Answer(signer.sign(data, key))
    command = ("--exec=/busybox", "--", "echo", "ran")

    def rkt(*words: str) -> subprocess.CompletedProcess[str]:
        return run("rkt", "run", "--net=none", *words, *command)

    refused = rkt("localhost/tool:1")
    assert refused.returncode == 254 and "no key is trusted" in refused.stderr
    run("rkt", "trust", "--prefix=localhost/tool", input="y\n", check=True)
    site.answers["/localhost/tool-1.aci.asc"] = Answer(signer.sign(data + b"x", key))
    forged = rkt("localhost/tool:1")
    assert forged.returncode == 254 and forged.stdout == ""
    assert run("images", "--quiet", check=True).stdout == ""
    site.answers["/localhost/tool-1.aci.asc"] = Answer(signer.sign(data, key))
    try:
        done = rkt("localhost/tool:1")
        assert (done.returncode, done.stdout) == (0, "ran\n")
        assert "https://localhost/localhost/tool-1.aci" in done.stderr and key in done.stderr
        asked = len(site.asked)
        assert rkt("localhost/tool:1", "--pull-policy=never").stdout == "ran\n"
        assert rkt("localhost/tool").stderr == "" and len(site.asked) == asked
        assert rkt("https://localhost/localhost/tool-1.aci").stdout == "ran\n"
        del site.answers["/localhost/tool-1.aci"]
        gone = rkt("localhost/tool:1", "--pull-policy=update")
        assert gone.returncode == 254 and gone.stdout == ""
    finally:
        left = run("pod", "ps", "-a", "-q", check=True).stdout.split()
        run("pod", "rm", "-f", *left, check=True)
