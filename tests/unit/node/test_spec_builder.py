"""A Pod's container becomes a runtime-spec value: defaults, overrides, refusals."""

from __future__ import annotations

import pytest

from lading.errors import InvalidInput
from lading.formats.oci_image import RunConfig
from lading.formats.pod import (
    CapabilityChange,
    Container,
    ContainerExtras,
    EnvVar,
    EnvVarSource,
    ObjectMeta,
    Pod,
    PodSecurityContext,
    PodSpec,
    ResourceRequirements,
    SecurityContext,
    Sysctl,
    TmpfsMount,
)
from lading.formats.podvolumes import ObjectFieldSelector, ResourceFieldSelector
from lading.node import admission, environment, etcfiles, spec, spec_mounts, spec_resources
from lading.node.users import Identity, resolve

_PASSWD = b"root:x:0:0:root:/root:/bin/sh\nweb:x:33:44:web:/var/www:/bin/false\n"
_GROUP = b"root:x:0:\nweb:x:44:\nlogs:x:55:web,other\n"


def _read(path: str) -> bytes:
    return {"/etc/passwd": _PASSWD, "/etc/group": _GROUP}.get(path, b"")


def _around() -> spec.Surroundings:
    made = spec.Surroundings(Identity(0, 0, [], "/root", "root"), "box", "/lading/x", "/pods/x")
    made.files = ["hosts"]
    return made


def _pod(container: Container, **fields: object) -> Pod:
    return Pod(
        metadata=ObjectMeta(name="p", labels={"a": "1"}), spec=PodSpec(containers=[container], **fields)
    )


def _build(container: Container, image: RunConfig | None = None, **fields: object) -> spec.Spec:
    return spec.build(_pod(container, **fields), container, image or RunConfig(cmd=["sh"]), _around())


def test_defaults_are_dockers() -> None:
    made = _build(Container(name="c"))
    assert made.process is not None and made.linux is not None and made.process.capabilities is not None
    assert made.process.args == ["sh"] and made.process.cwd == "/"
    assert made.process.env[0] == f"PATH={environment.PATH}" and "HOSTNAME=box" in made.process.env
    assert len(made.process.capabilities.bounding) == 14
    assert [n.type for n in made.linux.namespaces] == ["pid", "network", "ipc", "uts", "mount", "cgroup"]
    assert "/proc/kcore" in made.linux.masked_paths and "/proc/sys" in made.linux.readonly_paths
    assert made.hostname == "box"


def test_privileged_sees_and_may_everything() -> None:
    made = _build(Container(name="c", security_context=SecurityContext(privileged=True)))
    assert made.linux is not None and made.linux.masked_paths == [] and made.linux.readonly_paths == []
    assert made.process is not None and made.process.capabilities is not None
    assert "CAP_SYS_ADMIN" in made.process.capabilities.bounding
    assert next(m for m in made.mounts if m.destination == "/sys").options[-1] == "rw"


@pytest.mark.parametrize(
    ("command", "args", "expected"),
    [
        ([], [], ["entry", "cmd"]),
        ([], ["a"], ["entry", "a"]),
        (["c"], [], ["c"]),
        (["c"], ["a"], ["c", "a"]),
    ],
)
def test_command_and_args_override_as_kubernetes_says(
    command: list[str], args: list[str], expected: list[str]
) -> None:
    container = Container(name="c", command=command, args=args)
    assert spec.command(container, RunConfig(entrypoint=["entry"], cmd=["cmd"]), {}) == expected


def test_nothing_to_run_is_refused() -> None:
    with pytest.raises(InvalidInput) as caught:
        _build(Container(name="c"), RunConfig())
    assert caught.value.reason == "no-command"


def test_capabilities_are_dropped_before_added() -> None:
    change = SecurityContext(capabilities=CapabilityChange(drop=["ALL"], add=["NET_ADMIN"]))
    assert spec.capabilities(change, False) == ["CAP_NET_ADMIN"]
    everything = spec.capabilities(
        SecurityContext(capabilities=CapabilityChange(add=["ALL"], drop=["KILL"])), False
    )
    assert "CAP_KILL" not in everything and "CAP_SYS_ADMIN" in everything


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$(A)", "1"),
        ("$$(A)", "$(A)"),
        ("$(NOPE)", "$(NOPE)"),
        ("a$b", "a$b"),
        ("$(A", "$(A"),
        ("$", "$"),
        ("$$", "$"),
        ("$(A)$(A)", "11"),
    ],
)
def test_expansion(text: str, expected: str) -> None:
    assert environment.expand(text, {"A": "1"}) == expected


def test_variables_refer_only_to_earlier_ones_of_the_container() -> None:
    container = Container(
        name="c",
        env=[
            EnvVar(name="LATE", value="$(B)"),
            EnvVar(name="B", value="$(IMG)"),
            EnvVar(name="C", value="$(B)!"),
        ],
    )
    got = environment.environment(
        _pod(container), container, ["IMG=i"], hostname="h", home="/h", facts=environment.Facts([])
    )
    assert (got["LATE"], got["B"], got["C"], got["IMG"], got["HOME"]) == (
        "$(B)",
        "$(IMG)",
        "$(IMG)!",
        "i",
        "/h",
    )


def test_downward_api_gives_fields_and_resources() -> None:
    container = Container(
        name="c",
        resources=ResourceRequirements(limits={"cpu": "1500m", "memory": "64Mi"}),
        env=[
            EnvVar(
                name="N",
                value_from=EnvVarSource(field_ref=ObjectFieldSelector(field_path="metadata.labels['a']")),
            ),
            EnvVar(
                name="IP", value_from=EnvVarSource(field_ref=ObjectFieldSelector(field_path="status.podIP"))
            ),
            EnvVar(
                name="CPU",
                value_from=EnvVarSource(resource_field_ref=ResourceFieldSelector(resource="limits.cpu")),
            ),
            EnvVar(
                name="MEM",
                value_from=EnvVarSource(
                    resource_field_ref=ResourceFieldSelector(resource="limits.memory", divisor="1Mi")
                ),
            ),
        ],
    )
    got = environment.environment(
        _pod(container), container, [], hostname="h", home="", facts=environment.Facts(["10.0.0.2"])
    )
    assert (got["N"], got["IP"], got["CPU"], got["MEM"]) == ("1", "10.0.0.2", "2", "64")


def test_users_come_from_the_image() -> None:
    web = resolve("web", _read)
    assert (web.uid, web.gid, web.groups, web.home) == (33, 44, [44, 55], "/var/www")
    assert resolve("web:logs", _read).gid == 55 and resolve("web:logs", _read).groups == [55]
    number = resolve("1000", _read)
    assert (number.uid, number.gid, number.groups) == (1000, 0, [0])
    forced = resolve("web", _read, run_as_user=7, run_as_group=8, supplemental=[9])
    assert (forced.uid, forced.gid, forced.groups) == (7, 8, [8, 9])
    for bad in ("nobody-here", "web:nogroup", "99999999999"):
        with pytest.raises(InvalidInput):
            resolve(bad, _read)


def test_sysctl_that_would_change_the_host_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"vm\.swappiness"):
        _build(Container(name="c", extras=ContainerExtras(sysctls={"vm.swappiness": "1"})))
    context = PodSecurityContext(sysctls=[Sysctl(name="net.ipv4.ip_forward", value="1")])
    made = _build(Container(name="c"), security_context=context)
    assert made.linux is not None and made.linux.sysctl == {"net.ipv4.ip_forward": "1"}


def test_own_mount_replaces_a_default_and_children_follow_parents() -> None:
    container = Container(
        name="c",
        extras=ContainerExtras(
            tmpfs=[
                TmpfsMount(path="/a/b"),
                TmpfsMount(path="/dev/shm", options=["size=1m"]),
                TmpfsMount(path="/a"),
            ]
        ),
    )
    made = [m.destination for m in _build(container).mounts]
    assert made.count("/dev/shm") == 1 and made.index("/a") < made.index("/a/b")


def test_limits_become_cgroup_values() -> None:
    container = Container(
        name="c",
        resources=ResourceRequirements(limits={"cpu": "0.5", "memory": "1Gi"}, requests={"cpu": "250m"}),
        extras=ContainerExtras(pids_limit=9),
    )
    made = spec_resources.resources(container)
    assert made.cpu is not None and (made.cpu.quota, made.cpu.period, made.cpu.shares) == (
        50_000,
        100_000,
        256,
    )
    assert made.memory is not None and made.memory.limit == 1 << 30 and made.memory.swap is None
    assert made.pids is not None and made.pids.limit == 9
    with_swap = spec_resources.resources(container, swap_accounting=True)
    assert with_swap.memory is not None and with_swap.memory.swap == 2 << 30


def test_unknown_propagation_is_refused() -> None:
    with pytest.raises(InvalidInput):
        spec_mounts.volume(spec_mounts.Source("bind", "/x"), "/y", propagation="sideways")


def test_resolver_of_docker_replaces_and_of_kubernetes_adds() -> None:
    from lading.formats.pod import DNSConfig, PodExtras

    config = DNSConfig(nameservers=["9.9.9.9"], searches=["own"])
    docker = Pod(
        spec=PodSpec(containers=[Container(name="c")], dns_config=config, extras=PodExtras(container=True))
    )
    kubernetes = Pod(spec=PodSpec(containers=[Container(name="c")], dns_config=config))
    assert etcfiles.resolv_conf(docker, ["1.1.1.1"], ["net"], []) == "search own\nnameserver 9.9.9.9\n"
    assert (
        etcfiles.resolv_conf(kubernetes, ["1.1.1.1"], ["net"], [])
        == "search net own\nnameserver 1.1.1.1\nnameserver 9.9.9.9\n"
    )


def test_a_pods_resolver_options_replace_those_of_its_policy_by_name() -> None:
    from lading.formats.pod import DNSConfig, DNSOption

    config = DNSConfig(options=[DNSOption(name="ndots", value="2"), DNSOption(name="edns0")])
    pod = Pod(spec=PodSpec(containers=[Container(name="c")], dns_config=config))
    made = etcfiles.resolv_conf(pod, ["1.1.1.1"], [], ["ndots:5", "rotate"])
    assert made == "nameserver 1.1.1.1\noptions ndots:2 rotate edns0\n"


def test_only_the_pods_words_are_expanded() -> None:
    container = Container(name="c", args=["$(A)"], env=[EnvVar(name="A", value="1")])
    made = _build(container, RunConfig(entrypoint=["sh", "-c", "echo $(A) $$"]))
    assert made.process is not None
    assert made.process.args == ["sh", "-c", "echo $(A) $$", "1"]


def test_only_what_the_pod_declares_is_expanded_in_commands() -> None:
    container = Container(name="c", command=["$(IMG)", "$(PATH)", "$(B)"], env=[EnvVar(name="B", value="b")])
    made = _build(container, RunConfig(env=["IMG=i"]))
    assert made.process is not None and made.process.args == ["$(IMG)", "$(PATH)", "b"]


def test_a_number_is_never_a_users_name_and_one_beyond_the_kernels_is_nobody() -> None:
    hostile = b"1000:x:0:0::/root:/bin/sh\nwrap:x:4294967296:0::/:/bin/sh\nweb:x:33:4294967296::/:/bin/sh\n"
    found = resolve("", lambda path: hostile if path == "/etc/passwd" else b"", run_as_user=1000)
    assert found.uid == 1000
    for name in ("wrap", "web"):
        with pytest.raises(InvalidInput):
            resolve(name, lambda path: hostile if path == "/etc/passwd" else b"")


def test_a_number_is_a_users_or_groups_name_first_where_that_was_asked_for() -> None:
    files = {"/etc/passwd": b"1000:x:4242:4343::/home/n:/bin/sh\n", "/etc/group": b"2000:x:777:\n"}

    def read(path: str) -> bytes:
        return files[path]

    named = resolve("1000:2000", read, numeric_names=True)
    assert (named.uid, named.gid, named.home) == (4242, 777, "/home/n")
    assert (resolve("1001:2001", read, numeric_names=True).uid, resolve("1001:2001", read).gid) == (
        1001,
        2001,
    )
    assert (resolve("1000:2000", read).uid, resolve("1000:2000", read).gid) == (1000, 2000)
    assert resolve("", read, run_as_user=1000, numeric_names=True).uid == 1000
    with pytest.raises(InvalidInput):
        resolve("nobody:2000", read, numeric_names=True)


def test_a_console_is_there_without_a_terminal_where_that_was_asked_for() -> None:
    extras = ContainerExtras(console=True)
    made = {m.destination: m for m in _build(Container(name="c", extras=extras)).mounts}
    assert (made["/dev/console"].source, made["/dev/console"].type) == ("/dev/null", "bind")
    for other in (Container(name="c", tty=True, extras=extras), Container(name="c")):
        assert "/dev/console" not in {m.destination for m in _build(other).mounts}


def test_a_generated_file_that_is_kept_is_the_images() -> None:
    pod, around = _pod(Container(name="c", image="x")), _around()
    around.files, around.kept = ["hosts", "hostname"], ["hosts"]
    made = spec.build(pod, pod.spec.containers[0], RunConfig(cmd=["sh"]), around)
    assert [m.destination for m in made.mounts if m.destination.startswith("/etc/")] == ["/etc/hostname"]


def test_a_limit_of_nothing_is_no_limit_and_who_asks_for_nothing_weighs_least_where_that_counts() -> None:
    container = Container(name="c", resources=ResourceRequirements(limits={"cpu": "0", "memory": 0}))
    made = spec_resources.resources(container, swap_accounting=True)
    assert made.cpu is None and made.memory is None
    weighed = spec_resources.resources(container, weighed=True)
    assert weighed.cpu is not None and weighed.cpu.shares == 2


@pytest.mark.parametrize(
    ("other", "shares"),
    [
        (Container(name="o"), None),
        (Container(name="o", resources=ResourceRequirements(limits={"memory": "1G"})), None),
        (Container(name="o", resources=ResourceRequirements(requests={"cpu": "100m"})), 2),
        (Container(name="o", extras=ContainerExtras(cpu_shares=512)), 2),
    ],
)
def test_who_asks_for_no_cpu_weighs_least_only_beside_one_who_does(
    other: Container, shares: int | None
) -> None:
    pod = _pod(Container(name="c", image="x"))
    pod.spec.containers.append(other)
    made = spec.build(pod, pod.spec.containers[0], RunConfig(cmd=["sh"]), _around())
    assert made.linux is not None and made.linux.resources is not None
    cpu = made.linux.resources.cpu
    assert (None if cpu is None else cpu.shares) == shares


def test_what_admission_takes_for_a_namespaces_sysctl_is_set() -> None:
    names = [
        "kernel.shm_next_id",
        "kernel.sem_next_id",
        "kernel.msgmax",
        "fs.mqueue.msg_max",
        "net.core.somaxconn",
    ]
    pod = _pod(Container(name="c", image="x"), restart_policy="Never")
    pod.spec.security_context = PodSecurityContext(sysctls=[Sysctl(name=n, value="1") for n in names])
    admission.admit(pod)
    made = spec.build(pod, pod.spec.containers[0], RunConfig(cmd=["sh"]), _around())
    assert made.linux is not None and made.linux.sysctl == dict.fromkeys(names, "1")
