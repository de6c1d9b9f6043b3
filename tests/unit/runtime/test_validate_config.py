"""Each thing that runtime-spec calls an error in config.json is refused with the field's name, before
anything is made."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from lading.errors import InvalidInput, LadingError, Unsupported
from lading.formats.jsontext import dumps
from lading.runtime import validate
from lading.runtime.hostspec import template


def check(config: dict[str, Any]) -> list[str]:
    return validate.check(validate.parse(dumps(config)))


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    config = copy.deepcopy(template())
    change(config)
    return config


@pytest.mark.parametrize("rootless", [False, True])
def test_the_template_is_valid(rootless: bool) -> None:
    assert check(template(rootless=rootless, uid=1000, gid=1000)) == []


def put(path: str, value: object) -> Callable[[dict[str, Any]], object]:
    def change(config: dict[str, Any]) -> None:
        *places, last = path.split(".")
        here: Any = config
        for place in places:
            here = here[int(place)] if isinstance(here, list) else here.setdefault(place, {})
        if value is ...:
            del here[last]
        else:
            here[int(last) if isinstance(here, list) else last] = value

    return change


HOOK = {"path": "/bin/true"}
SECCOMP = {"defaultAction": "SCMP_ACT_ALLOW"}


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        ("ociVersion", ..., "ociVersion"),
        ("ociVersion", "1.2", "ociVersion"),
        ("ociVersion", "01.2.0", "ociVersion"),
        ("ociVersion", "2.0.0", "ociVersion"),
        ("root", ..., "root"),
        ("root.path", "", "root.path"),
        ("annotations", {"": "x"}, "annotations"),
        ("mounts", [{"destination": "/", "type": "tmpfs"}], "mounts[0].destination"),
        ("mounts", [{"destination": "/tmp/..", "type": "tmpfs"}], "mounts[0].destination"),
        ("process.env", ["A=1", "B"], "process.env[1]"),
        ("process.env", ["=1"], "process.env[0]"),
        ("process.execCPUAffinity", {"final": "0-x"}, "process.execCPUAffinity.final"),
        ("linux.devices", [{"path": "/dev/..", "type": "p"}], "linux.devices[0].path"),
        ("windows", {}, "windows"),
        ("vm", {"kernel": {}}, "vm"),
        ("process.cwd", "relative", "process.cwd"),
        ("process.cwd", "", "process.cwd"),
        ("process.args", [], "process.args"),
        ("process.args", ["a\0b"], "process.args[0]"),
        ("process.commandLine", "dir", "process.commandLine"),
        ("process.user.username", "x", "process.user.username"),
        ("process.user.uid", -1, "process.user.uid"),
        ("process.user.umask", 0o1000, "process.user.umask"),
        ("process.oomScoreAdj", 1001, "process.oomScoreAdj"),
        ("process.rlimits.0.type", "RLIMIT_NONE", "process.rlimits[0].type"),
        ("process.rlimits.0.soft", 2048, "process.rlimits[0]"),
        ("process.rlimits", [{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}] * 2, "process.rlimits"),
        ("process.scheduler", {"policy": "SCHED_BEST"}, "process.scheduler.policy"),
        ("process.ioPriority", {"class": "BE", "priority": 1}, "process.ioPriority.class"),
        ("process.consoleSize", {"height": 70000, "width": 1}, "process.consoleSize"),
        ("hooks", {"poststop": [{"path": "true"}]}, "hooks.poststop[0].path"),
        ("hooks", {"createRuntime": [{**HOOK, "timeout": 0}]}, "hooks.createRuntime[0].timeout"),
        ("mounts.0.destination", "", "mounts[0].destination"),
        ("mounts.0.uidMappings", [{"containerID": 0, "hostID": 0, "size": 1}], "mounts[0]"),
        ("linux.namespaces.0.type", "disk", "linux.namespaces[0].type"),
        ("linux.namespaces.0.type", "network", "linux.namespaces: network stands twice"),
        ("linux.namespaces.0.path", "proc/1/ns/pid", "linux.namespaces[0].path"),
        ("linux.uidMappings", [{"containerID": 0, "hostID": 0, "size": 1}], "linux.uidMappings"),
        ("linux.timeOffsets", {"monotonic": {"secs": 1}}, "linux.timeOffsets"),
        ("linux.rootfsPropagation", "upwards", "linux.rootfsPropagation"),
        ("linux.maskedPaths.0", "proc/kcore", "linux.maskedPaths[0]"),
        ("linux.readonlyPaths.0", "", "linux.readonlyPaths[0]"),
        ("linux.devices", [{"type": "x", "path": "/dev/x"}], "linux.devices[0].type"),
        ("linux.devices", [{"type": "p", "path": "dev/x"}], "linux.devices[0].path"),
        ("linux.devices", [{"type": "p", "path": "/dev/x"}] * 2, "linux.devices[1].path"),
        ("linux.netDevices", {"eth0": {"name": "a/b"}}, "linux.netDevices"),
        ("linux.personality", {"domain": "SOLARIS"}, "linux.personality.domain"),
        ("linux.seccomp", {"defaultAction": "ALLOW"}, "linux.seccomp.defaultAction"),
        ("linux.seccomp", {"defaultAction": "SCMP_ACT_NOTIFY"}, "linux.seccomp.defaultAction"),
        ("linux.seccomp", {**SECCOMP, "defaultErrnoRet": 1}, "linux.seccomp.defaultErrnoRet"),
        ("linux.seccomp", {**SECCOMP, "architectures": ["x86"]}, "linux.seccomp.architectures"),
        ("linux.seccomp", {**SECCOMP, "flags": ["FAST"]}, "linux.seccomp.flags"),
        (
            "linux.seccomp",
            {**SECCOMP, "syscalls": [{"names": ["a"], "action": "SCMP_ACT_NOTIFY"}]},
            "linux.seccomp.listenerPath",
        ),
        (
            "linux.seccomp",
            {
                **SECCOMP,
                "syscalls": [
                    {
                        "names": ["a"],
                        "action": "SCMP_ACT_ERRNO",
                        "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}],
                    }
                ],
            },
            "linux.seccomp.syscalls[0].args.index",
        ),
    ],
)
def test_what_is_wrong_is_named(path: str, value: object, field: str) -> None:
    with pytest.raises(LadingError) as caught:
        check(changed(put(path, value)))
    assert isinstance(caught.value, (InvalidInput, Unsupported))
    assert field in caught.value.message


def test_a_host_name_needs_a_namespace_to_keep_it_in() -> None:
    config = changed(put("linux.namespaces", [{"type": "mount"}]))
    with pytest.raises(InvalidInput, match="hostname"):
        check(config)


def test_a_new_user_namespace_needs_mappings_that_do_not_overlap() -> None:
    config = changed(lambda c: c["linux"]["namespaces"].append({"type": "user"}))
    with pytest.raises(InvalidInput, match=r"needs linux\.uidMappings"):
        check(config)
    rows = [{"containerID": 0, "hostID": 1000, "size": 10}, {"containerID": 9, "hostID": 5000, "size": 10}]
    config["linux"] |= {"uidMappings": rows, "gidMappings": rows}
    with pytest.raises(InvalidInput, match=r"linux.uidMappings\[1\]: it overlaps"):
        check(config)


def test_a_config_without_process_is_allowed_until_start() -> None:
    assert check(changed(put("process", ...))) == []


def test_unknown_properties_are_ignored_and_unknown_capabilities_logged_as_the_specification_demands() -> (
    None
):
    config = changed(put("linux.futureThing", {"a": 1}))
    config["process"]["capabilities"]["bounding"].append("CAP_LEVITATE")
    warnings = check(config)
    assert len(warnings) == 1 and "CAP_LEVITATE" in warnings[0]


def test_a_value_of_the_wrong_kind_is_named_with_the_file() -> None:
    with pytest.raises(InvalidInput, match=r"config.json: process.cwd: expected a string"):
        check(changed(put("process.cwd", 5)))
    with pytest.raises(InvalidInput, match=r"config\.json"):
        validate.parse("{")


def mounted(destination: str, kind: str, *options: str) -> dict[str, Any]:
    mount = {"destination": destination, "type": kind, "source": "/x", "options": list(options)}
    return changed(lambda config: config["mounts"].append(mount))


@pytest.mark.parametrize(
    ("destination", "kind"),
    [
        ("/proc", "tmpfs"),
        ("/proc/", "overlay"),
        ("/proc/self/attr", "tmpfs"),
        ("/tmp/../proc/sys", "bind"),
        ("proc/1", "bind"),
        ("/proc/cpuinfo/x", "bind"),
        ("/proc/bus", "proc"),
        ("/proc/acpi", "cgroup"),
    ],
)
def test_nothing_is_mounted_over_proc_that_is_not_procfs(destination: str, kind: str) -> None:
    with pytest.raises(InvalidInput, match=r"mounts\[7\]\.destination: .*proc") as caught:
        check(mounted(destination, kind))
    assert caught.value.reason == "proc-mount"


@pytest.mark.parametrize(
    ("destination", "kind", "options"),
    [
        ("/proc", "proc", ()),
        ("/proc", "bind", ("rbind",)),
        ("/proc/meminfo", "bind", ("bind",)),
        ("/proc/sys/crypto/fips_enabled", "bind", ("bind",)),
        ("/proc", "", ("remount", "ro")),
        ("/process", "tmpfs", ()),
        ("/host/proc/sys", "bind", ("bind",)),
    ],
)
def test_procfs_and_the_files_of_lxcfs_may_be_mounted(
    destination: str, kind: str, options: tuple[str, ...]
) -> None:
    assert check(mounted(destination, kind, *options)) == []
