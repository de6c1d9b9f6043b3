"""The Compose file as typed records, every short form written out: :class:`Project` is what a face translates.

Source: Compose specification and its JSON schema. A field is here when the specification has it, supported or not: what is
not is refused by its name where it would take effect (:mod:`lading.compose.refusals`).
"""

from __future__ import annotations

from lading.formats.compose.model_service import Service
from lading.formats.compose.shapes import Shape

__all__ = ["Config", "IPAM", "IPAMConfig", "Network", "Project", "Secret", "Service", "Volume"]


class IPAMConfig(Shape):
    """One range of addresses."""

    subnet: str = ""
    ip_range: str = ""
    gateway: str = ""
    aux_addresses: dict[str, str] = {}


class IPAM(Shape):
    """Where a network has its addresses from."""

    driver: str = ""
    config: list[IPAMConfig] = []
    options: dict[str, str] = {}


class Network(Shape):
    """A network of the project, or one that exists already (``external``)."""

    _numbers = ("driver_opts",)
    name: str = ""
    driver: str = ""
    driver_opts: dict[str, str] = {}
    attachable: bool = False
    external: bool = False
    internal: bool = False
    enable_ipv4: bool | None = None
    enable_ipv6: bool | None = None
    ipam: IPAM | None = None
    labels: dict[str, str] = {}


class Volume(Shape):
    """A volume of the project, or one that exists already (``external``)."""

    _numbers = ("driver_opts",)
    name: str = ""
    driver: str = ""
    driver_opts: dict[str, str] = {}
    external: bool = False
    labels: dict[str, str] = {}


class Config(Shape):
    """A config or a secret: one of ``file``, ``environment``, ``content`` (configs), ``external``."""

    _numbers = ("driver_opts",)
    name: str = ""
    file: str = ""
    environment: str = ""
    content: str | None = None
    external: bool = False
    labels: dict[str, str] = {}
    driver: str = ""
    driver_opts: dict[str, str] = {}
    template_driver: str = ""


Secret = Config


class Model(Shape):
    """A model of a language that services ask."""

    name: str = ""
    model: str
    context_size: int | None = None
    runtime_flags: list[str] = []


class Project(Shape):
    """One application: what all its files say together. ``name`` is the project's, decided before."""

    name: str = ""
    version: str = ""
    services: dict[str, Service] = {}
    networks: dict[str, Network] = {}
    volumes: dict[str, Volume] = {}
    configs: dict[str, Config] = {}
    secrets: dict[str, Secret] = {}
    models: dict[str, Model] = {}
