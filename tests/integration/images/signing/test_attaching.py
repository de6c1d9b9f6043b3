"""Signatures that are attached at once: none is lost, neither where a registry obeys conditions nor where it knows none."""

from __future__ import annotations

import http.client
import threading
from pathlib import Path

import pytest

from lading.formats.oci_image import OCI_MANIFEST, Descriptor
from lading.formats.reference import Reference
from lading.formats.signing import attached
from lading.formats.signing.attached import Signature
from lading.images import Images
from lading.images.pull import PullOptions, remotes
from lading.images.remote_http import Cancel
from lading.images.signing.fetching import fetch
from lading.images.signing.kept import REFERRER, TAG, Entry
from lading.images.signing.sending import attach
from support.registry import Fault, Registry
from support.registryserver import RegistryServer, digest_of

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]

DIGEST = digest_of(b"image")
SUBJECT = Descriptor(media_type=OCI_MANIFEST, digest=DIGEST, size=5)
SIGNERS = 8


def sign_at_once(directory: Path, host: str, form: str) -> set[str]:
    """Attach ``SIGNERS`` signatures from as many stores at the same moment; those that are found then."""
    where = Reference.parse(f"{host}/team/app")
    gate = threading.Barrier(SIGNERS)
    failures: list[BaseException] = []

    def one(number: int) -> None:
        images = Images(str(directory / f"store{number}"))
        entry = Entry(form, signature=Signature(f"payload {number}".encode(), f"c2ln{number:04}"))
        gate.wait()
        try:
            attach(images, where, SUBJECT, [entry], PullOptions())
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=one, args=(n,)) for n in range(SIGNERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    return found_at(host)


def found_at(host: str) -> set[str]:
    where = Reference.parse(f"{host}/team/app")
    (remote,) = remotes(where, PullOptions(), Cancel(), actions="pull")
    try:
        found = list(fetch([remote], DIGEST, []))
    finally:
        remote.close()
    return {entry.signature.payload.decode() for entry in found if entry.signature is not None}


ALL = {f"payload {n}" for n in range(SIGNERS)}


@pytest.mark.parametrize("form", [TAG, REFERRER])
def test_of_eight_that_sign_at_once_at_our_registry_none_is_lost(tmp_path: Path, form: str) -> None:
    with RegistryServer(tmp_path) as server:
        assert sign_at_once(tmp_path, server.host, form) == ALL


@pytest.mark.parametrize(
    "form", [TAG, REFERRER]
)  # these are listed under a tag where a registry has no API for them
def test_of_eight_that_sign_at_once_none_is_lost_where_no_condition_is_known(
    tmp_path: Path, form: str
) -> None:
    with Registry() as registry:
        assert sign_at_once(tmp_path, registry.host, form) == ALL
        puts = registry.asked("PUT /v2/team/app/manifests/")
    assert len(puts) > SIGNERS  # they did meet


@pytest.mark.parametrize("ours", [True, False])
def test_what_another_writes_over_is_added_again(tmp_path: Path, ours: bool) -> None:
    """A signer of another kind, which read the tag before ours was there and writes it after, on no condition."""
    with RegistryServer(tmp_path) if ours else Registry() as registry:
        where = Reference.parse(f"{registry.host}/team/app")
        entry = Entry(TAG, signature=Signature(b"ours", "b3Vycw=="))
        overwriter = threading.Thread(target=overwrite, args=(registry.host,))
        overwriter.start()
        attach(Images(str(tmp_path)), where, SUBJECT, [entry], PullOptions())
        overwriter.join()
        assert found_at(registry.host) == {"ours", "theirs"}


def overwrite(host: str) -> None:
    """Write cosign's tag as soon as it is there, with one signature and no other."""
    connection = http.client.HTTPConnection(host, timeout=60)

    def ask(method: str, path: str, body: bytes | None = None, **headers: str) -> int:
        connection.request(method, f"/v2/team/app/{path}", body, headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status

    config, manifest = attached.encode([Signature(b"theirs", "dGhlaXJz")])
    for blob in (config, b"theirs"):
        connection.request("POST", "/v2/team/app/blobs/uploads/")
        answer = connection.getresponse()
        answer.read()
        location = answer.headers["Location"].removeprefix("/v2/team/app/")
        more = "&" if "?" in location else "?"
        assert ask("PUT", f"{location}{more}digest={digest_of(blob)}", blob) == 201
    path = f"manifests/{attached.tag(DIGEST)}"
    while ask("HEAD", path) != 200:
        pass
    assert ask("PUT", path, manifest, **{"Content-Type": OCI_MANIFEST}) == 201


def test_a_registry_that_means_something_else_by_the_condition_is_written_to_without_one(
    tmp_path: Path,
) -> None:
    with Registry() as registry:
        registry.faults.append(Fault("PUT /v2/team/app/manifests/", "status", value=412))
        where = Reference.parse(f"{registry.host}/team/app")
        entry = Entry(TAG, signature=Signature(b"ours", "b3Vycw=="))
        attach(Images(str(tmp_path)), where, SUBJECT, [entry], PullOptions())
        puts = registry.asked("PUT /v2/team/app/manifests/")
        assert [any(name.lower() == "if-none-match" for name in put.headers) for put in puts] == [True, False]
        assert found_at(registry.host) == {"ours"}
