"""Each field that flags can fill reaches the container, or is refused by name: none is forgotten.

A new field of ContainerExtras or PodExtras fails here until it is said what reads it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import lading
from lading.errors import InvalidInput, Unsupported
from lading.formats.oci_image import RunConfig
from lading.formats.pod import (
    Container,
    ContainerExtras,
    ObjectMeta,
    Pod,
    PodExtras,
    PodSpec,
    ResourceRequirements,
    SecurityContext,
    TmpfsMount,
    Ulimit,
)
from lading.node import refused, spec
from lading.node.users import Identity

#: A value of each field that changes the runtime-spec configuration itself.
IN_THE_SPEC: dict[str, object] = {
    "tmpfs": [TmpfsMount(path="/t")],
    "ulimits": [Ulimit(name="nofile", soft=1, hard=2)],
    "device_cgroup_rules": ["c 1:3 rwm"],
    "sysctls": {"net.ipv4.ip_forward": "1"},
    "shm_size": 4096,
    "memory_swap": 2 << 30,
    "memory_reservation": 1 << 20,
    "memory_swappiness": 3,
    "pids_limit": 7,
    "cpu_shares": 77,
    "cpu_period": 50000,
    "cpu_quota": 5000,
    "cpuset_cpus": "0",
    "cpuset_mems": "0",
    "blkio_weight": 99,
    "oom_score_adj": 5,
    "oom_kill_disable": True,
    "entrypoint_given": True,
    "read_only_tmpfs": True,
    "no_new_privileges": True,
    "unmask": ["ALL"],
    "cgroupns": "host",
    "console": True,
}
#: What is read before the spec is built, or by the keeper: the file of lading.node that reads it.
READ_BY = {
    "user": "prepare.py",
    "group_add": "prepare.py",
    "numeric_names": "prepare.py",
    "keep_hosts": "prepare.py",
    "must_have_directory": "births.py",
    "make_way": "births.py",
    "hostname": "etcfiles.py",
    "mounts": "podvolumes.py",
    "devices": "hostdevices.py",
    "init": "prepare.py",
    "stop_signal": "running.py",
    "default_action": "runner.py",
    "healthcheck": "births.py",
    "restart": "runner.py",
    "seccomp": "prepare.py",
    "pre_start": "births.py",
    "listen": "listening.py",
    "post_stop": "deaths.py",
    "system_calls": "prepare.py",
    "block_bandwidth": "blocklimits.py",
    "block_operations": "blocklimits.py",
    "cgroup_parent": "shop.py",
    "platform": "prepare.py",
    "open_stdin": "runner.py",
    "discard": "runner.py",
    "log_size": "runner.py",
    "log_files": "runner.py",
    "image_name": "prepare.py",
}
#: Facts about the container that inspect shows, and that nothing has to act on.
SHOWN = {"labels": "labels", "stop_timeout": "spec.terminationGracePeriodSeconds is what acts"}
#: Values that something not built would have to act on.
REFUSED: dict[str, object] = {
    "apparmor": "docker-default",
    "selinux": ["type:svirt_lxc_t"],
    "userns": "private",
}
#: Values of those that ask for what is so anyway.
HARMLESS: dict[str, object] = {"apparmor": "unconfined", "selinux": ["disable"], "userns": "host"}

POD_READ_BY = {
    "networks": "podnetwork.py",
    "network_mode": "sandbox.py",
    "pid_mode": "sandbox.py",
    "ipc_mode": "sandbox.py",
    "uts_mode": "sandbox.py",
    "publish_all": "podnetwork.py",
    "remove": "deaths.py",
    "volatile": "prepare.py",
    "container": "model.py",
    "runtime": "engine.py",
    "sources": "sources.py",
    "pod": "membership.py",
    "fail_together": "runner.py",
    "companions": "companions.py",
    "own_files": "sandbox.py",
}


def _pod(**extras: object) -> Pod:
    container = Container(
        name="c",
        args=["x"],
        extras=ContainerExtras(**extras),
        resources=ResourceRequirements(limits={"memory": "1Gi"}),
        security_context=SecurityContext(read_only_root_filesystem=True),
    )
    return Pod(metadata=ObjectMeta(name="p"), spec=PodSpec(containers=[container]))


def _built(**extras: object) -> object:
    pod = _pod(**extras)
    around = spec.Surroundings(Identity(0, 0, [], "/root", "root"), "box", "/lading/x", "/pods/x")
    return spec.build(pod, pod.spec.containers[0], RunConfig(entrypoint=["sh"]), around).encode()


def _reads(module: str, field: str) -> bool:
    path = Path(lading.__file__).parent / "node" / module
    return f"extras.{field}" in path.read_text(encoding="utf-8")


def test_every_field_of_a_container_is_accounted_for() -> None:
    assert set(ContainerExtras._fields) == set(IN_THE_SPEC) | set(READ_BY) | set(SHOWN) | set(REFUSED)


def test_every_field_of_a_pod_is_accounted_for() -> None:
    assert set(PodExtras._fields) == set(POD_READ_BY)


@pytest.mark.parametrize("field", IN_THE_SPEC)
def test_it_changes_the_spec(field: str) -> None:
    assert _built(**{field: IN_THE_SPEC[field]}) != _built()


@pytest.mark.parametrize(("field", "module"), [*READ_BY.items(), *POD_READ_BY.items()])
def test_the_node_reads_it(field: str, module: str) -> None:
    assert _reads(module, field)


@pytest.mark.parametrize("field", REFUSED)
def test_it_is_refused_by_name(field: str) -> None:
    with pytest.raises(
        Unsupported, match=field.replace("apparmor", "AppArmor").replace("selinux", "SELinux")
    ):
        refused.check(_pod(**{field: REFUSED[field]}))
    refused.check(_pod(**{field: HARMLESS[field]}))


def test_more_cpus_than_there_are_is_an_error() -> None:
    refused.cpus(10**9)
    with pytest.raises(InvalidInput, match="CPUs of this machine"):
        refused.cpus(10**15)
