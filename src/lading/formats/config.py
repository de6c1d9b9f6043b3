"""What a manifest may carry beside its Pods: ConfigMaps, Secrets and PersistentVolumeClaims, as records.

Source: the Kubernetes API reference, core/v1. A Pod takes the ConfigMaps and Secrets it names along as
:class:`~lading.formats.pod.ConfigSource`; a claim becomes a named volume.
"""

from __future__ import annotations

import binascii

from lading.errors import InvalidInput
from lading.formats.pod import ConfigSource, ObjectMeta
from lading.formats.schema import Record

#: The API's limit of one object's data.
LARGEST = 1 << 20


class ConfigMap(Record):
    _keep_empty = ("api_version", "kind")
    api_version: str = "v1"
    kind: str = "ConfigMap"
    metadata: ObjectMeta = ObjectMeta()
    data: dict[str, str] = {}
    binary_data: dict[str, str] = {}
    immutable: bool | None = None


class Secret(Record):
    _keep_empty = ("api_version", "kind")
    api_version: str = "v1"
    kind: str = "Secret"
    metadata: ObjectMeta = ObjectMeta()
    type: str = "Opaque"
    data: dict[str, str] = {}
    string_data: dict[str, str] = {}
    immutable: bool | None = None


class ClaimSpec(Record):
    """What is asked of storage. On one machine all of it is one thing: a directory of this disk."""

    access_modes: list[str] = []
    resources: object = None
    storage_class_name: str | None = None
    volume_mode: str = ""
    volume_name: str = ""
    selector: object = None
    data_source: object = None
    data_source_ref: object = None
    volume_attributes_class_name: str = ""


class PersistentVolumeClaim(Record):
    _keep_empty = ("api_version", "kind")
    api_version: str = "v1"
    kind: str = "PersistentVolumeClaim"
    metadata: ObjectMeta = ObjectMeta()
    spec: ClaimSpec = ClaimSpec()
    status: object = None


def config_source(made: ConfigMap | Secret) -> ConfigSource:
    """The keys and values of a ConfigMap or Secret. Raises :class:`InvalidInput` naming the key."""
    source = ConfigSource(kind=made.kind, name=made.metadata.name)
    if isinstance(made, Secret):
        encoded, text = made.data, made.string_data
        field = "data"
    else:
        encoded, text = made.binary_data, made.data
        field = "binaryData"
        twice = set(encoded) & set(text)
        if twice:
            raise InvalidInput(f"binaryData.{min(twice)}: the key is in data too")
    values: dict[str, str] = {}
    binary: dict[str, str] = {}
    size = 0
    for key, value in encoded.items():
        try:
            raw = binascii.a2b_base64("".join(value.split()), strict_mode=True)
        except (binascii.Error, ValueError):
            raise InvalidInput(f"{field}.{_checked(key, field)}: the value is not base64") from None
        size += len(raw)
        try:
            values[key] = raw.decode()
        except UnicodeDecodeError:
            binary[key] = value
        if made.kind == "ConfigMap" and key in values:
            # binaryData is for volumes only, whatever it holds.
            del values[key]
            binary[key] = value
    for key, value in text.items():
        values[key] = value
        binary.pop(key, None)
        size += len(value.encode())
    for key in (*values, *binary):
        _checked(key, "data")
    if size > LARGEST:
        raise InvalidInput(f"data: {size} bytes, more than the {LARGEST} that the API allows")
    source.values, source.binary = values, binary
    return source


def _checked(key: str, field: str) -> str:
    """A key of data: up to 253 letters, digits, ``-``, ``_`` and ``.``."""
    body = key.replace("-", "a").replace("_", "a").replace(".", "a")
    if (
        not body.isascii()
        or not body.isalnum()
        or len(key) > 253
        or key in (".", "..")
        or key.startswith("..")
    ):
        raise InvalidInput(f"{field}.{key[:80]}: a key is letters, digits, '-', '_' and '.'")
    return key
