"""Signing and verifying as a user does it: in the store, at a registry, under a policy; and everything that must not count."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support import cosignmade
from support.lading import Lading
from support.registryserver import CONFIG, MANIFEST, Client, RegistryServer, digest_of

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]

SIMPLE = "application/vnd.dev.cosign.simplesigning.v1+json"
ANNOTATION = "dev.cosignproject.cosign/signature"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    with RegistryServer(tmp_path_factory.mktemp("registry")) as made:
        yield made


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the key pairs ``a`` and ``b``."""
    directory = tmp_path_factory.mktemp("keys")
    lading = Lading(tmp_path_factory.mktemp("keymaker"))
    lading.env["COSIGN_PASSWORD"] = "pw"
    for name in ("a", "b"):
        lading("image", "keys", "generate", "--output-prefix", str(directory / name), check=True)
    return directory


@pytest.fixture
def client(server: RegistryServer) -> Iterator[Client]:
    with server.client() as made:
        yield made


class User:
    """A user of ``lading`` with an image of one file, keys, and names at the registry."""

    def __init__(self, base: Path, server: RegistryServer, keys: Path) -> None:
        self.lading = Lading(base)
        self.lading.env["COSIGN_PASSWORD"] = "pw"
        self.base = base
        self.repository = "r" + base.name.replace("_", "-").lower()[-40:].strip("-")
        self.host = server.host
        self.name = f"{server.host}/{self.repository}:1"
        self.a, self.b = str(keys / "a"), str(keys / "b")
        self.policy = base / "config" / "policy.json"

    def build(self, content: str = "x") -> None:
        """Make the image of one file."""
        (self.base / "context").mkdir(exist_ok=True)
        (self.base / "context" / "file").write_text(content)
        subprocess.run(["tar", "-cf", "l.tar", "-C", "context", "file"], cwd=self.base, check=True)
        self.lading("import", str(self.base / "l.tar"), self.name, check=True)

    def digest(self) -> str:
        """The digest of the manifest that the image was signed or pushed with."""
        found = json.loads(self.lading.out("images", "--digests", "--format", "json", self.name))
        return str(found["digest"])

    def published(self, *flags: str) -> str:
        """The image at the registry, signed with ``a`` there, and gone from here; its digest."""
        self.build()
        self.lading("push", "-q", self.name, check=True)
        digest = self.digest()
        self.lading("rmi", "-f", self.name, check=True)
        self.lading("image", "sign", "--key", self.a + ".key", *flags, self.name, check=True)
        return digest

    def refused(self, *words: str) -> str:
        """What a command says that must fail, in one line."""
        done = self.lading(*words)
        assert done.returncode not in (0, None), done.stdout
        lines = done.stderr.splitlines()
        assert len(lines) == 1, done.stderr
        return lines[0]

    def trust(self, *words: str) -> None:
        self.lading("image", "trust", "set", *words, check=True)

    def has_nothing(self) -> bool:
        """No image and no layer is here."""
        layers = self.base / "root" / "images" / "layers"
        return not self.lading.out("images", "-q") and not (layers.exists() and list(layers.iterdir()))


@pytest.fixture
def user(tmp_path: Path, server: RegistryServer, pair: Path) -> Iterator[User]:
    made = User(tmp_path, server, pair)
    yield made
    made.lading.close()


# -- keys ------------------------------------------------------------------------------------------------------------


def test_key_files_are_for_their_owner_and_are_never_replaced(user: User) -> None:
    before = Path(user.a + ".key").read_bytes()
    assert os.stat(user.a + ".key").st_mode & 0o777 == 0o600
    said = user.refused("image", "keys", "generate", "--output-prefix", user.a)
    assert "never replaced" in said
    assert Path(user.a + ".key").read_bytes() == before


def test_without_a_password_and_a_terminal_there_is_a_clear_error(user: User) -> None:
    del user.lading.env["COSIGN_PASSWORD"]
    said = user.refused("image", "keys", "generate", "--output-prefix", str(user.base / "k"))
    assert "COSIGN_PASSWORD" in said
    assert not list(user.base.glob("k.*"))


def test_keys_of_other_tools_are_imported(user: User) -> None:
    subprocess.run(
        ["openssl", "genpkey", "-algorithm", "ed25519", "-out", "k.pem"], cwd=user.base, check=True
    )
    wanted = subprocess.run(
        ["openssl", "pkey", "-in", "k.pem", "-pubout"],
        cwd=user.base,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    prefix = str(user.base / "k")
    user.lading("image", "keys", "import", "--key", f"{prefix}.pem", "--output-prefix", prefix, check=True)
    assert user.lading("image", "keys", "public", f"{prefix}.key").stdout == wanted


# -- in the store ----------------------------------------------------------------------------------------------------


def test_an_image_is_signed_and_verified_without_a_registry(user: User) -> None:
    user.build()
    assert user.digest() == "<none>"
    digest = user.lading.out("image", "sign", "-q", "--key", user.a + ".key", "-a", "who=me", user.name)
    assert user.digest() == digest
    (line,) = user.lading.out(
        "image", "verify", "--key", user.a + ".pub", "-a", "who=me", "--format", "json", user.name
    ).splitlines()
    said = json.loads(line)
    assert (said["digest"], said["name"], said["annotations"]) == (digest, user.name, {"who": "me"})


def test_signing_the_same_again_adds_nothing(user: User) -> None:
    user.build()
    for _ in range(2):
        user.lading("image", "sign", "--key", user.a + ".key", user.name, check=True)
    lines = user.lading.out("image", "verify", "--key", user.a + ".pub", "--format", "json", user.name)
    assert len(lines.splitlines()) == 1


def test_signatures_go_when_their_image_goes(user: User) -> None:
    user.build()
    user.lading("image", "sign", "--key", user.a + ".key", user.name, check=True)
    kept = user.base / "root" / "images" / "pins" / "signature"
    assert list(kept.iterdir())
    user.lading("rmi", user.name, check=True)
    assert not list(kept.iterdir())
    assert user.lading("check").returncode == 0


def test_a_wrong_password_signs_nothing(user: User) -> None:
    user.build()
    user.lading.env["COSIGN_PASSWORD"] = "other"
    assert "password" in user.refused("image", "sign", "--key", user.a + ".key", user.name)
    assert "no signature" in user.refused("image", "verify", "--key", user.a + ".pub", user.name)


def test_signatures_go_along_with_a_push(user: User) -> None:
    user.build()
    user.lading("image", "sign", "--key", user.a + ".key", user.name, check=True)
    user.lading("push", "-q", "--signatures", user.name, check=True)
    user.lading("image", "verify", "--remote", "--key", user.a + ".pub", user.name, check=True)


def test_pushing_signatures_that_are_not_there_is_said(user: User) -> None:
    user.build()
    assert "no signature" in user.refused("push", "-q", "--signatures", user.name)


@pytest.mark.parametrize("command", ["sign", "verify"])
def test_keyless_is_refused_by_name(user: User, command: str) -> None:
    assert "keyless" in user.refused("image", command, user.name)


# -- at a registry ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["tag", "referrer", "bundle"])
def test_an_image_that_is_not_here_is_signed_at_its_registry(user: User, form: str) -> None:
    digest = user.published("--form", form, "-a", "who=me")
    found = user.lading.out(
        "image", "verify", "--key", user.a + ".pub", "-a", "who=me", "--format", "json", user.name
    )
    assert json.loads(found)["digest"] == digest
    assert "by another key" in user.refused("image", "verify", "--key", user.b + ".pub", user.name)
    assert "'who'" in user.refused("image", "verify", "--key", user.a + ".pub", "-a", "who=you", user.name)
    assert user.has_nothing()


def test_the_layout_is_cosigns(user: User, client: Client) -> None:
    digest = user.published("-a", "who=me")
    user.lading("image", "sign", "--key", user.b + ".key", user.name, check=True)
    tag = digest.replace(":", "-") + ".sig"
    manifest = client.ask("GET", f"/v2/{user.repository}/manifests/{tag}", accept=MANIFEST).json
    assert manifest["config"]["mediaType"] == CONFIG
    first, second = manifest["layers"]  # added, not replaced
    assert first["mediaType"] == second["mediaType"] == SIMPLE
    payload = client.ask("GET", f"/v2/{user.repository}/blobs/{first['digest']}").body
    assert json.loads(payload) == {
        "critical": {
            "identity": {"docker-reference": user.name},
            "image": {"docker-manifest-digest": digest},
            "type": "cosign container image signature",
        },
        "optional": {"who": "me"},
    }
    (user.base / "payload").write_bytes(payload)
    (user.base / "signature").write_bytes(base64.b64decode(first["annotations"][ANNOTATION]))
    verify = ["openssl", "dgst", "-sha256", "-verify", user.a + ".pub", "-signature", "signature", "payload"]
    subprocess.run(verify, cwd=user.base, check=True, capture_output=True)


def _index(user: User, client: Client) -> tuple[str, str, str]:
    """Push the image and an index of it; the index's name, its digest, the manifest's."""
    user.build()
    user.lading("push", "-q", user.name, check=True)
    digest = user.digest()
    user.lading("rmi", "-f", user.name, check=True)
    manifest = client.ask("GET", f"/v2/{user.repository}/manifests/{digest}", accept=MANIFEST).body
    index = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [
                {
                    "mediaType": MANIFEST,
                    "digest": digest,
                    "size": len(manifest),
                    "platform": {"os": "linux", "architecture": "amd64"},
                }
            ],
        }
    ).encode()
    put = client.ask(
        "PUT",
        f"/v2/{user.repository}/manifests/2",
        index,
        content_type="application/vnd.oci.image.index.v1+json",
    )
    assert put.status == 201
    return user.name[:-1] + "2", digest_of(index), digest


def test_every_platform_of_an_index_is_signed_when_asked(user: User, client: Client) -> None:
    name, index, manifest = _index(user, client)
    once = user.lading.out("image", "sign", "-q", "--key", user.a + ".key", name)
    assert once == index
    both = user.lading.out("image", "sign", "-q", "-r", "--key", user.a + ".key", name)
    assert both.splitlines() == [index, manifest]
    user.lading("pull", "-q", name, check=True)
    here = user.lading.out("image", "sign", "-q", "-r", "--local", "--key", user.a + ".key", name)
    assert here.splitlines() == [index, manifest]


@pytest.mark.parametrize("form", ["tag", "referrer"])
def test_a_signed_index_vouches_for_its_platforms(user: User, client: Client, form: str) -> None:
    name, _, _ = _index(user, client)
    user.lading("image", "sign", "--form", form, "--key", user.a + ".key", name, check=True)
    user.trust("--key", user.a + ".pub", user.host)
    user.lading("pull", "-q", "--all-platforms", name, check=True)
    user.lading("create", name, "/file", check=True)


def test_a_platforms_own_signature_speaks_for_it_alone(user: User, client: Client) -> None:
    name, _, manifest = _index(user, client)
    alone = f"{name[:-2]}@{manifest}"
    user.lading("image", "sign", "--identity", name, "--key", user.a + ".key", alone, check=True)
    user.trust("--key", user.a + ".pub", user.host)
    user.refused("pull", "-q", "--all-platforms", name)
    assert user.has_nothing()
    user.lading("pull", "-q", name, check=True)
    user.lading("create", name, "/file", check=True)


def test_a_bundle_says_no_name_so_no_policy_counts_it(user: User) -> None:
    user.published("--form", "bundle")
    user.trust("--key", user.a + ".pub", user.host)
    assert "bundles" in user.refused("pull", "-q", user.name)


def _attach(
    client: Client, repository: str, digest: str, payload: bytes, signature: str, media_type: str = SIMPLE
) -> None:
    """Put a signature to a digest as a hostile registry, or another tool, may."""
    config = b"{}"
    for blob in (config, payload):
        client.blob(repository, blob)
    manifest: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, "digest": digest_of(config), "size": len(config)},
        "layers": [
            {
                "mediaType": media_type,
                "digest": digest_of(payload),
                "size": len(payload),
                "annotations": {ANNOTATION: signature},
            }
        ],
    }
    tag = digest.replace(":", "-") + ".sig"
    answer = client.ask(
        "PUT", f"/v2/{repository}/manifests/{tag}", json.dumps(manifest).encode(), content_type=MANIFEST
    )
    assert answer.status == 201, answer.body


def _signature_of(client: Client, repository: str, digest: str) -> tuple[bytes, str]:
    tag = digest.replace(":", "-") + ".sig"
    layer = client.ask("GET", f"/v2/{repository}/manifests/{tag}", accept=MANIFEST).json["layers"][0]
    payload = client.ask("GET", f"/v2/{repository}/blobs/{layer['digest']}").body
    return payload, layer["annotations"][ANNOTATION]


def test_a_signature_of_cosigns_is_read(user: User, client: Client) -> None:
    """cosign's signature of another image: the key is right, and the image is not."""
    user.build()
    user.lading("push", "-q", user.name, check=True)
    digest = user.digest()
    _attach(client, user.repository, digest, cosignmade.PAYLOAD.encode(), cosignmade.SIGNATURE)
    public = user.base / "cosign.pub"
    public.write_text(cosignmade.PUBLIC)
    said = user.refused("image", "verify", "--remote", "--key", str(public), user.name)
    assert "of another image" in said


def test_a_signature_replayed_for_another_image_does_not_count(user: User, client: Client) -> None:
    first = user.published()
    payload, signature = _signature_of(client, user.repository, first)
    user.build("other")
    user.lading("push", "-q", user.name, check=True)
    _attach(client, user.repository, user.digest(), payload, signature)
    user.lading("rmi", "-f", user.name, check=True)
    user.trust("--key", user.a + ".pub", user.host)
    for words in (("image", "verify", "--key", user.a + ".pub"), ("pull", "-q")):
        assert "of another image" in user.refused(*words, user.name)
    assert user.has_nothing()


def test_an_altered_payload_does_not_count(user: User, client: Client) -> None:
    digest = user.published()
    payload, signature = _signature_of(client, user.repository, digest)
    _attach(client, user.repository, digest, payload.replace(b":1", b":2"), signature)
    user.trust("--key", user.a + ".pub", user.host)
    assert "altered" in user.refused("pull", "-q", user.name)
    assert user.has_nothing()


def test_a_signature_for_another_name_does_not_count(user: User) -> None:
    user.published("--identity", "other.example/x:1")
    user.trust("--key", user.a + ".pub", user.host)
    for words in (("image", "verify", "--key", user.a + ".pub"), ("pull", "-q")):
        assert "another name" in user.refused(*words, user.name)
    assert user.has_nothing()
    user.lading(
        "image", "verify", "--key", user.a + ".pub", "--identity", "other.example/x:1", user.name, check=True
    )


def test_a_signature_for_another_tag_does_not_count_unless_the_policy_says_so(user: User) -> None:
    user.published("--identity", user.name[:-1] + "2")
    user.trust("--key", user.a + ".pub", user.host)
    assert "another name" in user.refused("pull", "-q", user.name)
    user.trust("--key", user.a + ".pub", "--match", "matchRepository", user.host)
    user.lading("pull", "-q", user.name, check=True)


@pytest.mark.parametrize("garbage", [b"{}", b"", b"\xff" * 100, b'{"critical":' * 500])
def test_garbage_beside_a_good_signature_is_passed_over(user: User, client: Client, garbage: bytes) -> None:
    user.build()
    user.lading("push", "-q", user.name, check=True)
    digest = user.digest()
    user.lading("rmi", "-f", user.name, check=True)
    _attach(client, user.repository, digest, garbage, "%%%")
    user.trust("--key", user.a + ".pub", user.host)
    user.refused("pull", "-q", user.name)
    user.lading("image", "sign", "--key", user.a + ".key", user.name, check=True)
    user.lading("pull", "-q", user.name, check=True)


# -- under a policy --------------------------------------------------------------------------------------------------


def test_a_signed_image_is_pulled_and_run_without_its_registry(user: User) -> None:
    user.published()
    user.trust("--key", user.a + ".pub", f"{user.host}/{user.repository}")
    user.trust("--type", "reject", "default")
    user.lading("pull", "-q", user.name, check=True)
    user.lading("create", user.name, "/file", check=True)
    assert "rejects" in user.refused("pull", "-q", f"{user.host}/other:1")


def test_an_image_without_a_signature_is_not_pulled(user: User) -> None:
    user.build()
    user.lading("push", "-q", user.name, check=True)
    user.lading("rmi", "-f", user.name, check=True)
    user.trust("--key", user.a + ".pub", user.host)
    said = user.refused("pull", "-q", user.name)
    assert "it has none" in said
    assert str(user.policy) in said
    assert user.refused("create", user.name, "/file")
    assert user.has_nothing()


def test_a_refused_pull_moves_no_name(user: User) -> None:
    user.published()
    user.lading("pull", "-q", user.name, check=True)
    before = user.lading.out("images", "-q", "--no-trunc", user.name)
    other = Lading(user.base / "second")
    theirs = User(user.base / "second", _Host(user.host), Path(user.a).parent)  # type: ignore[arg-type]
    theirs.name = user.name
    (user.base / "second").mkdir(exist_ok=True)
    theirs.build("changed")
    theirs.lading("push", "-q", user.name, check=True)
    user.trust("--key", user.a + ".pub", user.host)
    user.refused("pull", "-q", user.name)
    assert user.lading.out("images", "-q", "--no-trunc", user.name) == before
    other.close()


class _Host:
    def __init__(self, host: str) -> None:
        self.host = host


def test_an_image_pulled_before_the_policy_is_not_run_until_it_is_signed(user: User) -> None:
    user.published()
    user.lading("pull", "-q", user.name, check=True)
    user.trust("--key", user.a + ".pub", user.host)
    said = user.refused("create", user.name, "/file")
    assert "lading pull" in said
    image = user.lading.out("images", "-q", user.name)
    user.refused("create", image, "/file")
    user.lading("pull", "-q", user.name, check=True)
    user.lading("create", user.name, "/file", check=True)
    user.lading("create", image, "/file", check=True)


def test_another_key_in_the_policy_counts_at_once(user: User) -> None:
    user.published()
    user.trust("--key", user.a + ".pub", user.host)
    user.lading("create", user.name, "/file", check=True)
    user.trust("--key", user.b + ".pub", user.host)
    assert "another key" in user.refused("create", user.name, "/file")
    user.trust("--key", user.b + ".pub", "--key", user.a + ".pub", user.host)
    user.lading("create", user.name, "/file", check=True)


def test_what_was_made_here_is_its_owners_own(user: User) -> None:
    user.build()
    user.trust("--type", "reject", "default")
    user.lading("create", user.name, "/file", check=True)
    user.lading("tag", user.name, "mine:1", check=True)
    user.lading("create", "mine:1", "/file", check=True)


def test_base_images_of_builds_are_judged(user: User) -> None:
    user.published()
    (user.base / "Dockerfile").write_text(f"FROM {user.name}\nLABEL a=b\n")
    user.trust("--key", user.b + ".pub", user.host)
    done = user.lading("build", "-q", "-t", "built", str(user.base))
    assert done.returncode != 0
    assert "another key" in done.stderr
    assert user.has_nothing()
    user.trust("--key", user.a + ".pub", user.host)
    user.lading("build", "-q", "-t", "built", str(user.base), check=True)
    user.trust("--key", user.b + ".pub", user.host)  # now it is here, and its key counts no more
    assert user.lading("build", "-q", "-t", "built", str(user.base)).returncode != 0


@pytest.mark.parametrize(
    ("form", "transport"),
    [("docker-archive", "docker-archive"), ("oci-archive", "oci-archive"), ("oci-dir", "oci")],
)
def test_archives_are_accepted_or_not(user: User, form: str, transport: str) -> None:
    user.build()
    archive = str(user.base / "archive")
    user.lading("save", "--format", form, "-o", archive, user.name, check=True)
    user.lading("rmi", user.name, check=True)
    user.trust("--type", "reject", "default")
    assert "rejects" in user.refused("load", "-i", archive)
    assert user.has_nothing()
    user.trust("--key", user.a + ".pub", "default")
    assert "carries none" in user.refused("load", "-i", archive)
    user.trust("--transport", transport, "--type", "accept", "")
    user.lading("load", "-i", archive, check=True)


def test_the_policy_can_be_put_aside_and_that_is_said(user: User) -> None:
    user.published()
    user.trust("--type", "reject", "default")
    done = user.lading("pull", "-q", "--insecure-policy", user.name, check=True)
    assert "not obeyed" in done.stderr
    user.refused("create", user.name, "/file")
    done = user.lading("create", "--insecure-policy", user.name, "/file", check=True)
    assert "not obeyed" in done.stderr


@pytest.mark.parametrize(
    ("requirement", "word"),
    [
        ({"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/k"}, "signedBy"),
        ({"type": "sigstoreSigned", "keyPath": "/k", "rekorPublicKeyPath": "/r"}, "rekorPublicKeyPath"),
        ({"type": "sigstoreSigned", "pki": {"caRootsPath": "/k"}}, "pki"),
        ({"type": "sigstoreSigned", "keyPath": "/nowhere.pub"}, "/nowhere.pub"),
        ({"type": "sigstoreSigned", "keyPath": "relative.pub"}, "absolute"),
        ({"type": "other"}, "other"),
    ],
)
def test_what_cannot_be_checked_accepts_nothing(
    user: User, requirement: dict[str, object], word: str
) -> None:
    user.published()
    user.policy.parent.mkdir(exist_ok=True)
    user.policy.write_text(json.dumps({"default": [requirement]}))
    assert word in user.refused("pull", "-q", user.name)
    assert user.has_nothing()


def test_a_policy_that_others_may_write_is_refused(user: User) -> None:
    user.published()
    user.trust("--type", "accept", "default")
    user.policy.chmod(0o666)
    assert "chmod go-w" in user.refused("pull", "-q", user.name)


def test_a_policy_is_shown_and_taken_back(user: User) -> None:
    user.trust("--key", user.a + ".pub", "example.com/x")
    user.trust("--type", "reject", "*.example.com")
    out = user.lading.out("image", "trust", "show")
    assert "*.example.com" in out
    assert user.a + ".pub" in out
    one = user.lading.out("image", "trust", "show", "--format", "json", "example.com/x/y:1")
    assert json.loads(one)["scope"] == "example.com/x"
    user.lading("image", "trust", "remove", "example.com/x", check=True)
    assert "example.com/x " not in user.lading.out("image", "trust", "show")
    assert "says nothing" in user.refused("image", "trust", "remove", "example.com/x")
    assert json.loads(user.lading.out("image", "trust", "show", "--raw")) == json.loads(
        user.policy.read_text()
    )


@pytest.mark.parametrize(
    "words",
    [
        ("--key", "/nowhere", "example.com"),
        ("example.com",),
        ("--type", "accept", "busybox"),
        ("--type", "other", "example.com"),
        ("--type", "signedBy", "--key", "/k", "example.com"),
        ("--type", "accept", "--key", "/k", "example.com"),
        ("--type", "accept", "example.com/x:bad tag"),
    ],
)
def test_wrong_words_change_no_policy(user: User, words: tuple[str, ...]) -> None:
    user.refused("image", "trust", "set", *words)
    assert not user.policy.exists()
