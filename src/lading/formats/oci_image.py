"""OCI image-spec 1.1 as records, and the Docker schema 2 media types that mean the same.

Source: https://github.com/opencontainers/image-spec (descriptor.md, manifest.md, image-index.md, config.md). Decode with
``strict=False``; the specification demands that readers ignore what they do not know.
"""

from __future__ import annotations

from lading.formats.schema import Record

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP = OCI_LAYER + "+gzip"
OCI_LAYER_ZSTD = OCI_LAYER + "+zstd"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
DOCKER_LAYER_GZIP = DOCKER_LAYER + ".gzip"

MANIFESTS = (OCI_MANIFEST, DOCKER_MANIFEST)
INDEXES = (OCI_INDEX, DOCKER_LIST)


class Platform(Record):
    _wire = {"os_version": "os.version", "os_features": "os.features"}
    architecture: str = ""
    os: str = ""
    os_version: str = ""
    os_features: list[str] = []
    variant: str = ""


class Descriptor(Record):
    _keep_empty = ("size",)
    media_type: str
    digest: str
    size: int
    urls: list[str] = []
    annotations: dict[str, str] = {}
    data: str = ""
    artifact_type: str = ""
    platform: Platform | None = None


class Manifest(Record):
    _keep_empty = ("schema_version", "layers")
    schema_version: int = 2
    media_type: str = ""
    artifact_type: str = ""
    config: Descriptor
    layers: list[Descriptor] = []
    subject: Descriptor | None = None
    annotations: dict[str, str] = {}


class Index(Record):
    _keep_empty = ("schema_version", "manifests")
    schema_version: int = 2
    media_type: str = ""
    artifact_type: str = ""
    manifests: list[Descriptor] = []
    subject: Descriptor | None = None
    annotations: dict[str, str] = {}


class Healthcheck(Record):
    """Docker's extension of the image config; durations are nanoseconds."""

    _wire = {
        "test": "Test",
        "interval": "Interval",
        "timeout": "Timeout",
        "start_period": "StartPeriod",
        "start_interval": "StartInterval",
        "retries": "Retries",
    }
    test: list[str] = []
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


class RunConfig(Record):
    """The ``config`` object of an image: how to run it."""

    _wire = {
        "user": "User",
        "exposed_ports": "ExposedPorts",
        "env": "Env",
        "entrypoint": "Entrypoint",
        "cmd": "Cmd",
        "volumes": "Volumes",
        "working_dir": "WorkingDir",
        "labels": "Labels",
        "stop_signal": "StopSignal",
        "args_escaped": "ArgsEscaped",
        "healthcheck": "Healthcheck",
        "shell": "Shell",
        "on_build": "OnBuild",
    }
    user: str = ""
    exposed_ports: dict[str, object] = {}
    env: list[str] = []
    entrypoint: list[str] = []
    cmd: list[str] = []
    volumes: dict[str, object] = {}
    working_dir: str = ""
    labels: dict[str, str] = {}
    stop_signal: str = ""
    args_escaped: bool = False
    healthcheck: Healthcheck | None = None
    shell: list[str] = []
    on_build: list[str] = []


class RootFS(Record):
    _wire = {"diff_ids": "diff_ids"}
    _keep_empty = ("type", "diff_ids")
    type: str = "layers"
    diff_ids: list[str] = []


class History(Record):
    _wire = {"created_by": "created_by", "empty_layer": "empty_layer"}
    created: str = ""
    author: str = ""
    created_by: str = ""
    comment: str = ""
    empty_layer: bool = False


class ImageConfig(Record):
    _wire = {"os_version": "os.version", "os_features": "os.features"}
    _keep_empty = ("architecture", "os", "rootfs")
    created: str = ""
    author: str = ""
    architecture: str = ""
    os: str = ""
    os_version: str = ""
    os_features: list[str] = []
    variant: str = ""
    config: RunConfig | None = None
    rootfs: RootFS = RootFS()
    history: list[History] = []
