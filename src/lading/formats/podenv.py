"""A Pod's environment variables that come from somewhere else (core/v1 EnvVarSource and EnvFromSource)."""

from __future__ import annotations

from lading.formats.podvolumes import ObjectFieldSelector, ResourceFieldSelector
from lading.formats.schema import Record


class KeySelector(Record):
    name: str = ""
    key: str
    optional: bool | None = None


class EnvVarSource(Record):
    field_ref: ObjectFieldSelector | None = None
    resource_field_ref: ResourceFieldSelector | None = None
    config_map_key_ref: KeySelector | None = None
    secret_key_ref: KeySelector | None = None
    file_key_ref: object = None


class NameReference(Record):
    name: str = ""
    optional: bool | None = None


class EnvFromSource(Record):
    prefix: str = ""
    config_map_ref: NameReference | None = None
    secret_ref: NameReference | None = None
