"""A Pod's and its containers' security contexts (core/v1 SecurityContext, PodSecurityContext)."""

from __future__ import annotations

from lading.formats.schema import Record


class CapabilityChange(Record):
    add: list[str] = []
    drop: list[str] = []


class SeccompProfile(Record):
    type: str
    localhost_profile: str = ""


class AppArmorProfile(Record):
    type: str
    localhost_profile: str = ""


class SELinuxOptions(Record):
    user: str = ""
    role: str = ""
    type: str = ""
    level: str = ""


class SecurityContext(Record):
    _wire = {"se_linux_options": "seLinuxOptions"}
    capabilities: CapabilityChange | None = None
    privileged: bool | None = None
    se_linux_options: SELinuxOptions | None = None
    windows_options: object = None
    run_as_user: int | None = None
    run_as_group: int | None = None
    run_as_non_root: bool | None = None
    read_only_root_filesystem: bool | None = None
    allow_privilege_escalation: bool | None = None
    proc_mount: str = ""
    seccomp_profile: SeccompProfile | None = None
    app_armor_profile: AppArmorProfile | None = None


class Sysctl(Record):
    name: str
    value: str


class PodSecurityContext(Record):
    _wire = {"se_linux_options": "seLinuxOptions", "se_linux_change_policy": "seLinuxChangePolicy"}
    se_linux_options: SELinuxOptions | None = None
    windows_options: object = None
    run_as_user: int | None = None
    run_as_group: int | None = None
    run_as_non_root: bool | None = None
    supplemental_groups: list[int] = []
    supplemental_groups_policy: str = ""
    fs_group: int | None = None
    fs_group_change_policy: str = ""
    sysctls: list[Sysctl] = []
    seccomp_profile: SeccompProfile | None = None
    app_armor_profile: AppArmorProfile | None = None
    se_linux_change_policy: str = ""
