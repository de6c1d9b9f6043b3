"""SBOM and provenance beside an image: in the index, at a registry as referrers, and never with a secret in them."""

from __future__ import annotations

import json
import subprocess

import pytest

from support.registryserver import RegistryServer

pytestmark = pytest.mark.root

FILE = """
FROM busybox
ARG VERSION=1
ARG API_TOKEN
RUN mkdir -p /var/lib/dpkg /app/node_modules/left
COPY status /var/lib/dpkg/status
COPY package.json /app/node_modules/left/
"""


@pytest.fixture
def app(context):
    context.dockerfile(FILE).file("package.json", '{"name": "left", "version": "1.2.3"}')
    return context.file(
        "status", "Package: bash\nStatus: install ok installed\nVersion: 5\nArchitecture: amd64\n"
    )


def statements(layout):
    """The index of a layout, and each platform's statements by predicate type."""
    blobs = layout / "blobs/sha256"

    def read(digest):
        return json.loads((blobs / digest[7:]).read_text())

    index = read(json.loads((layout / "index.json").read_text())["manifests"][0]["digest"])
    found = {}
    for entry in index["manifests"]:
        if entry.get("annotations", {}).get("vnd.docker.reference.type") == "attestation-manifest":
            manifest = read(entry["digest"])
            assert manifest["subject"]["digest"] == entry["annotations"]["vnd.docker.reference.digest"]
            assert entry["platform"] == {"architecture": "unknown", "os": "unknown"}
            for layer in manifest["layers"]:
                assert layer["mediaType"] == "application/vnd.in-toto+json"
                statement = read(layer["digest"])
                assert statement["predicateType"] == layer["annotations"]["in-toto.io/predicate-type"]
                assert statement["_type"] == "https://in-toto.io/Statement/v1"
                assert statement["subject"][0]["digest"]["sha256"] == manifest["subject"]["digest"][7:]
                found[statement["predicateType"]] = statement["predicate"]
    return index, found


def build(lading, app, tmp_path, *flags, name="evident"):
    lading(
        "build", "-t", name, "--build-arg", "VERSION=7",
        "--build-arg", "API_TOKEN=hunter2-value", *flags, str(app), check=True,
    )  # fmt: skip


def test_statements_stand_beside_the_image(lading, app, tmp_path):
    layout = tmp_path / "lay"
    build(lading, app, tmp_path, "--sbom", "--provenance", "-o", f"type=oci,tar=false,dest={layout}")
    _, found = statements(layout)
    bill = found["https://spdx.dev/Document"]
    assert {"bash", "left"} <= {package["name"] for package in bill["packages"]}
    provenance = found["https://slsa.dev/provenance/v1"]
    definition = provenance["buildDefinition"]
    assert definition["resolvedDependencies"][0]["uri"].startswith("pkg:docker/busybox@latest")
    assert provenance["runDetails"]["builder"]["id"]
    text = json.dumps(found)
    assert "hunter2" not in text
    assert "VERSION" not in json.dumps(provenance)  # arguments are only told with mode=max
    assert str(app) not in text


def test_more_is_told_with_mode_max_and_no_secret_even_then(lading, app, tmp_path):
    layout = tmp_path / "lay"
    build(
        lading, app, tmp_path, "--provenance=mode=max,builder-id=https://ci.test/7", "--metadata-file", f"{tmp_path}/m",
        "-o", f"type=oci,tar=false,dest={layout}",
    )  # fmt: skip
    _, found = statements(layout)
    provenance = found["https://slsa.dev/provenance/v1"]
    request = provenance["buildDefinition"]["externalParameters"]["request"]
    assert request["args"]["VERSION"] == "7"
    assert request["args"]["API_TOKEN"].startswith("(left out")
    assert provenance["runDetails"]["builder"]["id"] == "https://ci.test/7"
    assert any(
        step["name"].startswith("COPY status")
        for step in provenance["buildDefinition"]["internalParameters"]["steps"]
    )
    assert "hunter2" not in json.dumps(found)
    assert json.loads((tmp_path / "m").read_text())["buildx.build.provenance"] == provenance


def test_an_attested_image_runs_is_pushed_and_listed_among_referrers(lading, app, tmp_path):
    with RegistryServer(tmp_path) as server:
        name = f"{server.host}/evident:1"
        build(lading, app, tmp_path, "--sbom", "--push", name=name)
        assert lading("run", "--rm", name, "true").returncode == 0
        raw = subprocess.run(
            ["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{name}"],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        image = json.loads(raw)["manifests"][0]["digest"]
        with server.client() as client:
            told = client.ask("GET", f"/v2/evident/referrers/{image}")
        assert "attestation" in json.dumps(told.json)
        lading("rmi", "-f", name, check=True)
        lading("pull", name, check=True)
        assert lading("run", "--rm", name, "true").returncode == 0


def test_the_packages_of_any_local_image_are_listed(lading, app, tmp_path):
    build(lading, app, tmp_path)
    bill = json.loads(lading.out("image", "sbom", "evident"))
    assert {p["name"] for p in bill["packages"]} >= {"bash", "left"}
    assert "bash" in lading.out("image", "sbom", "--format", "table", "evident")
    lading("image", "sbom", "-o", f"{tmp_path}/s", "evident", check=True)
    assert json.loads((tmp_path / "s").read_text()) == bill


def test_evidence_goes_with_an_image(lading, app, tmp_path):
    for flags in (["--sbom", "-o", "out"], ["--provenance", "-o", "type=image,oci-mediatypes=false"]):
        assert lading("build", *flags, str(app)).returncode == 1
