"""The volumes of a Pod, and the downward API's selectors, as records (the other half of :mod:`lading.formats.pod`).

Source: the Kubernetes API reference, core/v1 Volume.
"""

from __future__ import annotations

from lading.formats.schema import Record


class ObjectFieldSelector(Record):
    api_version: str = ""
    field_path: str


class ResourceFieldSelector(Record):
    container_name: str = ""
    resource: str
    divisor: str | int | float = ""


class EmptyDirVolumeSource(Record):
    """``uid`` and ``gid``, the owner of the new directory, are Lading's own."""

    medium: str = ""
    size_limit: str | int | float | None = None
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None


class HostPathVolumeSource(Record):
    """``no_follow``: no part of the path may be a symbolic link. Lading's own."""

    path: str
    type: str = ""
    no_follow: bool = False


class ClaimVolumeSource(Record):
    """``persistentVolumeClaim``: on one machine, the named volume ``claimName``."""

    claim_name: str
    read_only: bool = False


class KeyToPath(Record):
    key: str
    path: str
    mode: int | None = None
    user: int | None = None


class ConfigMapVolumeSource(Record):
    name: str = ""
    items: list[KeyToPath] = []
    default_mode: int | None = None
    default_user: int | None = None
    optional: bool | None = None


class SecretVolumeSource(Record):
    secret_name: str = ""
    items: list[KeyToPath] = []
    default_mode: int | None = None
    default_user: int | None = None
    optional: bool | None = None


class DownwardAPIFile(Record):
    path: str
    field_ref: ObjectFieldSelector | None = None
    resource_field_ref: ResourceFieldSelector | None = None
    mode: int | None = None
    user: int | None = None


class DownwardAPIVolumeSource(Record):
    items: list[DownwardAPIFile] = []
    default_mode: int | None = None
    default_user: int | None = None


class ConfigMapProjection(Record):
    name: str = ""
    items: list[KeyToPath] = []
    optional: bool | None = None


class SecretProjection(Record):
    name: str = ""
    items: list[KeyToPath] = []
    optional: bool | None = None


class DownwardAPIProjection(Record):
    items: list[DownwardAPIFile] = []


class VolumeProjection(Record):
    """One source of a ``projected`` volume; those kept as ``object`` exist only to be refused by name."""

    _wire = {"downward_api": "downwardAPI"}
    config_map: ConfigMapProjection | None = None
    secret: SecretProjection | None = None
    downward_api: DownwardAPIProjection | None = None
    service_account_token: object = None
    cluster_trust_bundle: object = None
    pod_certificate: object = None


class ProjectedVolumeSource(Record):
    sources: list[VolumeProjection] = []
    default_mode: int | None = None
    default_user: int | None = None


class Volume(Record):
    """One volume; exactly one source. The sources kept as ``object`` exist only to be refused by name."""

    _wire = {
        "downward_api": "downwardAPI",
        "aws_elastic_block_store": "awsElasticBlockStore",
        "gce_persistent_disk": "gcePersistentDisk",
        "scale_io": "scaleIO",
    }
    name: str
    empty_dir: EmptyDirVolumeSource | None = None
    host_path: HostPathVolumeSource | None = None
    persistent_volume_claim: ClaimVolumeSource | None = None
    config_map: ConfigMapVolumeSource | None = None
    secret: SecretVolumeSource | None = None
    downward_api: DownwardAPIVolumeSource | None = None
    projected: ProjectedVolumeSource | None = None
    csi: object = None
    ephemeral: object = None
    image: object = None
    nfs: object = None
    iscsi: object = None
    fc: object = None
    rbd: object = None
    cephfs: object = None
    cinder: object = None
    glusterfs: object = None
    git_repo: object = None
    flex_volume: object = None
    flocker: object = None
    azure_disk: object = None
    azure_file: object = None
    aws_elastic_block_store: object = None
    gce_persistent_disk: object = None
    portworx_volume: object = None
    photon_persistent_disk: object = None
    quobyte: object = None
    scale_io: object = None
    storageos: object = None
    vsphere_volume: object = None


class VolumeMount(Record):
    name: str
    mount_path: str
    sub_path: str = ""
    sub_path_expr: str = ""
    read_only: bool = False
    recursive_read_only: str = ""
    mount_propagation: str = ""
    bind_mount_options: list[str] = []


class VolumeDevice(Record):
    name: str
    device_path: str
