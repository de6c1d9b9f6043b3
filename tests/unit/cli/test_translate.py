"""Docker's flags become a Pod: one row a flag, and one row a mistake."""

from __future__ import annotations

from typing import Any

import pytest

from lading.cli.commands import ROOT
from lading.cli.translate import Surroundings, literal, plain, pod_from_run
from lading.errors import LadingError
from lading.flags import parse
from lading.formats.pod import BindMount, Pod


def _read(flag: str, path: str) -> bytes:
    files = {"env": b"X=1\nY\n", "labels": b"# c\na=b\nc\n"}
    if path not in files:
        raise LadingError(f"{flag} {path}: No such file or directory", reason="not-found")
    return files[path]


def around() -> Surroundings:
    return Surroundings(
        {"Y": "yes", "HOME": "/root"},
        "/here",
        _read,
        lambda name: [BindMount(target="/shared", volume="v-" + name)],
        lambda protocol, address, first, last: first + 1,
    )


def pod(*words: str) -> Pod:
    parsed = parse(ROOT, ["run", *words])
    return pod_from_run(parsed.values, parsed.args, around())


def field(made: Pod, path: str) -> Any:
    value: Any = {
        "pod": made,
        "spec": made.spec,
        "c": made.spec.containers[0],
        "x": made.spec.containers[0].extras,
    }
    for part in path.split("."):
        value = (
            value[part]
            if isinstance(value, dict)
            else value[int(part)]
            if part.isdigit()
            else getattr(value, part)
        )
    return value


FLAGS: list[tuple[list[str], str, object]] = [
    (["--name", "web"], "pod.metadata.name", "web"),
    (["--hostname", "h.example"], "x.hostname", "h.example"),
    (["-h", "h"], "x.hostname", "h"),
    (["-u", "1000:1000"], "x.user", "1000:1000"),
    (["--group-add", "audio", "--group-add", "5"], "x.group_add", ["audio", "5"]),
    (["-w", "/srv"], "c.working_dir", "/srv"),
    (["--entrypoint", "/bin/sh"], "c.command", ["/bin/sh"]),
    (["--entrypoint", ""], "x.entrypoint_given", True),
    (["-e", "A=1"], "c.env.0.value", "1"),
    (["-e", "A=$(B)$$"], "c.env.0.value", "$$(B)$$$$"),
    (["-e", "Y"], "c.env.0.value", "yes"),
    (["-e", "NOT_SET"], "c.env", []),
    (["--env-file", "env", "-e", "X=2"], "c.env.0.value", "2"),
    (["-l", "a=b", "-l", "c"], "x.labels", {"a": "b", "c": ""}),
    (["--label-file", "labels", "-l", "a=z"], "x.labels", {"a": "z", "c": ""}),
    (["--annotation", "k=v"], "pod.metadata.annotations", {"k": "v"}),
    (["--pull", "always"], "c.image_pull_policy", "Always"),
    (["--pull", "never"], "c.image_pull_policy", "Never"),
    (["--platform", "linux/arm64"], "x.platform", "linux/arm64"),
    (["-i"], "c.stdin", True),
    (["-t"], "c.tty", True),
    (["-it"], "c.tty", True),
    (["--rm"], "spec.extras.remove", True),
    ([], "spec.restart_policy", "Never"),
    ([], "spec.extras.container", True),
    (["--restart", "always"], "spec.restart_policy", "Always"),
    (["--restart", "on-failure:3"], "x.restart", "on-failure:3"),
    (["--restart", "unless-stopped"], "x.restart", "unless-stopped"),
    (["--init"], "x.init", True),
    (["--stop-signal", "int"], "x.stop_signal", "SIGINT"),
    (["--stop-timeout", "3"], "spec.termination_grace_period_seconds", 3),
    ([], "spec.termination_grace_period_seconds", 10),
    (["--health-cmd", "true", "--health-interval", "1m"], "x.healthcheck.interval", 60.0),
    (["--health-cmd", "x y"], "x.healthcheck.test", ["CMD-SHELL", "x y"]),
    (["--health-retries", "5"], "x.healthcheck.retries", 5),
    (["--no-healthcheck"], "x.healthcheck.test", ["NONE"]),
    (["-v", "data:/data"], "x.mounts.0.volume", "data"),
    (["-v", "vol:/a", "-v", "./y:/b"], "x.mounts.1.source", "/here/y"),
    (["-v", "/data", "--volume-driver", "tmpfs"], "x.mounts.0.driver", "tmpfs"),
    (["--mount", "type=bind,source=/a,target=/b,ro"], "x.mounts.0.read_only", True),
    (["--mount", "type=tmpfs,target=/b"], "x.tmpfs.0.path", "/b"),
    (["--tmpfs", "/t:size=1m"], "x.tmpfs.0.options", ["size=1m"]),
    (["--volumes-from", "other"], "x.mounts.0.volume", "v-other"),
    (["--volumes-from", "other:ro"], "x.mounts.0.read_only", True),
    (["--read-only"], "c.security_context.read_only_root_filesystem", True),
    (["--shm-size", "1g"], "x.shm_size", 1 << 30),
    (["--network", "none"], "spec.extras.network_mode", "none"),
    (["--net", "host"], "spec.host_network", True),
    (["--network", "container:web"], "spec.extras.network_mode", "container:web"),
    (["--network", "bridge"], "spec.extras.networks", []),
    (["--network", "front", "--network-alias", "a"], "spec.extras.networks.0.aliases", ["a"]),
    (["--network", "front", "--network", "back"], "spec.extras.networks.1.name", "back"),
    (["--network", "name=front,alias=x,ip=10.0.0.9"], "spec.extras.networks.0.ipv4", "10.0.0.9"),
    (["--network", "front", "--ip6", "fd00::9"], "spec.extras.networks.0.ipv6", "fd00::9"),
    (["--mac-address", "92-D0-c6-0a-29-33"], "spec.extras.networks.0.mac", "92:d0:c6:0a:29:33"),
    (["-p", "8080:80"], "c.ports.0.host_port", 8080),
    (["-p", "80"], "c.ports.0.host_port", -1),
    (["-p", "53:53/udp"], "c.ports.0.protocol", "UDP"),
    (["-p", "8000-8010:80"], "c.ports.0.host_port", 8001),
    (["-P", "--expose", "80-81"], "c.ports.1.container_port", 81),
    (["-P"], "spec.extras.publish_all", True),
    (["--dns", "1.1.1.1"], "spec.dns_config.nameservers", ["1.1.1.1"]),
    (["--dns-search", "example.com"], "spec.dns_config.searches", ["example.com"]),
    (["--dns-opt", "ndots:2"], "spec.dns_config.options.0.value", "2"),
    (["--add-host", "db:10.0.0.1"], "spec.host_aliases.0.ip", "10.0.0.1"),
    (["--add-host", "db=[fd00::1]"], "spec.host_aliases.0.ip", "fd00::1"),
    (["--add-host", "me:host-gateway"], "spec.host_aliases.0.ip", "host-gateway"),
    (["--cpus", "1.5"], "c.resources.limits", {"cpu": "1.5"}),
    (["-m", "64m"], "c.resources.limits", {"memory": str(64 << 20)}),
    (["-m", "64m", "--memory-swap", "-1"], "x.memory_swap", -1),
    (["-m", "64m", "--memory-swap", "128m"], "x.memory_swap", 128 << 20),
    (["--memory-reservation", "32m"], "x.memory_reservation", 32 << 20),
    (["--memory-swappiness", "0"], "x.memory_swappiness", 0),
    (["--pids-limit", "-1"], "x.pids_limit", -1),
    (["-c", "512"], "x.cpu_shares", 512),
    (["--cpu-period", "50000", "--cpu-quota", "25000"], "x.cpu_quota", 25000),
    (["--cpuset-cpus", "0-2,4"], "x.cpuset_cpus", "0-2,4"),
    (["--cpuset-mems", "0"], "x.cpuset_mems", "0"),
    (["--blkio-weight", "300"], "x.blkio_weight", 300),
    (["--oom-score-adj", "-500"], "x.oom_score_adj", -500),
    (["--oom-kill-disable"], "x.oom_kill_disable", True),
    (["--ulimit", "nofile=1024:2048"], "x.ulimits.0.hard", 2048),
    (["--ulimit", "core=-1"], "x.ulimits.0.soft", -1),
    (["--privileged"], "c.security_context.privileged", True),
    (["--cap-add", "net_admin"], "c.security_context.capabilities.add", ["NET_ADMIN"]),
    (["--cap-drop", "ALL"], "c.security_context.capabilities.drop", ["ALL"]),
    (["--security-opt", "no-new-privileges"], "x.no_new_privileges", True),
    (["--security-opt", "seccomp=unconfined"], "x.seccomp", "unconfined"),
    (["--security-opt", "seccomp:/p.json"], "x.seccomp", "/p.json"),
    (["--security-opt", "apparmor=unconfined"], "x.apparmor", "unconfined"),
    (["--security-opt", "label=disable"], "x.selinux", ["disable"]),
    (["--security-opt", "systempaths=unconfined"], "x.unmask", ["ALL"]),
    (["--device", "/dev/fuse"], "x.devices.0.container_path", "/dev/fuse"),
    (["--device", "/dev/fuse:r"], "x.devices.0.permissions", "r"),
    (["--device", "/dev/a:/dev/b:rw"], "x.devices.0.container_path", "/dev/b"),
    (["--device-cgroup-rule", "c 1:* rwm"], "x.device_cgroup_rules", ["c 1:* rwm"]),
    (["--sysctl", "net.ipv4.ip_forward=1"], "x.sysctls", {"net.ipv4.ip_forward": "1"}),
    (["--ipc", "host"], "spec.host_ipc", True),
    (["--ipc", "container:a"], "spec.extras.ipc_mode", "container:a"),
    (["--pid", "host"], "spec.host_pid", True),
    (["--uts", "host"], "spec.extras.uts_mode", "host"),
    (["--userns", "host"], "x.userns", "host"),
    (["--userns", "host"], "spec.host_users", None),
    (["--userns", "auto"], "spec.host_users", False),
    (["--cgroupns", "host"], "x.cgroupns", "host"),
    (["--cgroup-parent", "/x"], "x.cgroup_parent", "/x"),
    (["--runtime", "runc"], "spec.extras.runtime", "runc"),
]


@pytest.mark.parametrize(
    ("words", "path", "value"), FLAGS, ids=lambda v: " ".join(v) if isinstance(v, list) else None
)
def test_a_flag_reaches_its_field(words: list[str], path: str, value: object) -> None:
    assert field(pod(*words, "busybox"), path) == value


def test_the_arguments_are_the_command_of_the_image() -> None:
    made = pod("busybox", "sh", "-c", "echo $(HOME) $HOME $$")
    assert made.spec.containers[0].command == []
    assert made.spec.containers[0].args == ["sh", "-c", "echo $$(HOME) $$HOME $$$$"]


@pytest.mark.parametrize(
    "text", ["", "$", "$HOME", "$(X)", "$$", "a$$(b)", "$$$", "$(", "100% $x $(y) $$(z)"]
)
def test_what_docker_takes_literally_survives_kubernetes_expansion(text: str) -> None:
    from lading.node.environment import expand

    assert expand(literal(text), {"X": "no", "y": "no", "HOME": "no"}) == text
    assert plain(literal(text)) == text


MISTAKES: list[tuple[list[str], str]] = [
    (["--security-opt", "apparmor=mine"], "not supported"),
    (["--security-opt", "label=type:x"], "not supported"),
    (["--name", "-x"], "name"), (["--name", "a b"], "name"), (["--name", "x"], "name"), (["--workdir", "x"], "absolute"),
    (["--user", ":5"], "--user"), (["--hostname", "a b"], "--hostname"), (["--env", "=x"], "no name"),
    (["--env-file", "gone"], "No such file"), (["--label", "=x"], "--label"), (["--restart", "sometimes"], "--restart"),
    (["--restart", "on-failure:x"], "not a number"), (["--restart", "always:3"], "--restart"),
    (["--rm", "--restart", "always"], "contradict"), (["--stop-signal", "NOPE"], "NOPE"), (["--stop-timeout", "-2"], "negative"),
    (["--health-cmd", "x", "--no-healthcheck"], "contradict"), (["--health-interval", "5"], "duration"),
    (["--health-timeout", "1us"], "millisecond"), (["--health-retries", "-1"], "negative"), (["-v", "x"], "absolute"),
    (["-v", "/a:/b", "-v", "/c:/b"], "two mounts"), (["--tmpfs", "/b", "--mount", "type=tmpfs,target=/b"], "two mounts"),
    (["--volumes-from", "a:x"], "ro or rw"), (["--shm-size", "0"], "more than 0"), (["--network", ""], "empty"),
    (["--network", "container:"], "nothing follows"), (["--network", "none", "--network", "a"], "further networks"),
    (["--network", "a", "--network", "a"], "twice"), (["--network", "host", "--ip", "1.2.3.4"], "does not go"),
    (["--network", "host", "-p", "80:80"], "the host's own"), (["--network", "none", "-P"], "nothing leads there"),
    (["--network-alias", "x"], "own"), (["--ip", "1.2.3"], "IPv4"), (["--ip6", "1.2.3.4"], "IPv6"),
    (["--mac-address", "zz"], "six bytes"), (["--mac-address", "01:00:00:00:00:00"], "multicast"),
    (["--network", "name=bridge,alias=x"], "own"),
    (["--network", "name=a,foo=b"], "foo"), (["--network", "alias=a"], "name is missing"), (["-p", "x"], "port"),
    (["-p", "80:1", "-p", "80:2"], "already"), (["--network", "container:a", "-p", "80:80"], "--publish"),
    (["--expose", "0"], "port"), (["--dns", "nope"], "--dns"), (["--add-host", "x"], "--add-host"),
    (["--add-host", "x:999.1.1.1"], "IPv4"), (["--add-host", "x y:1.2.3.4"], "one word"), (["--dns", ""], "one word"),
    (["--add-host", "x\nz:1.2.3.4"], "one word"), (["--dns-search", ""], "one word"), (["--dns-search", "a b"], "one word"),
    (["--dns-option", "x\nnameserver"], "one word"), (["--network", "n", "--network-alias", ""], "one word"),
    (["--network", "name=n,alias=a b"], "one word"), (["--cpus", "x"], "--cpus"), (["--cpus", "0.001"], "0.01"),
    (["--cpus", "-1"], "--cpus"),
    (["--cpus", "1", "--cpu-quota", "5000"], "does not go"), (["--memory", "x"], "--memory"), (["--memory", "1m"], "6m"),
    (["--memory-swap", "1g"], "needs --memory"), (["-m", "64m", "--memory-swap", "32m"], "counts both"),
    (["-m", "64m", "--memory-reservation", "128m"], "more than"), (["--memory-swappiness", "101"], "0 to 100"),
    (["--cpu-period", "10"], "1000"), (["--cpu-quota", "10"], "1000"), (["--blkio-weight", "5"], "10 to 1000"),
    (["--cpu-shares", "1"], "2 to 262144"),
    (["--oom-score-adj", "5000"], "1000"), (["--cpuset-cpus", "a"], "--cpuset-cpus"), (["--cpuset-cpus", "3-1"], "--cpuset-cpus"),
    (["--ulimit", "nofile"], "no value"), (["--ulimit", "what=1"], "'what'"), (["--ulimit", "nofile=x"], "number"),
    (["--ulimit", "nofile=1_000"], "number"), (["--ulimit", "nofile=" + "9" * 5000], "number"),
    (["--device-cgroup-rule", "c ²:3 rwm"], "MAJOR"), (["--device-cgroup-rule", "c " + "9" * 5000 + ":3 r"], "MAJOR"),
    (["--restart", "on-failure:" + "9" * 5000], "number of restarts"),
    (["--ulimit", "nofile=5:1"], "above"), (["--cap-add", "FLY"], "FLY"), (["--security-opt", "what=1"], "unknown"),
    (["--security-opt", "no-new-privileges=x"], "true or false"), (["--device", "fuse"], "--device"),
    (["--device", "/dev/a:/dev/b:x"], "made of"), (["--device", "vendor.com/gpu=all"], "CDI"),
    (["--device-cgroup-rule", "x"], "--device-cgroup-rule"), (["--sysctl", "x"], "NAME=VALUE"), (["--ipc", "x"], "--ipc"),
    (["--pid", "x"], "--pid"), (["--uts", "x"], "--uts"), (["--uts", "host", "--hostname", "x"], "--hostname"),
    (["--userns", "keep-id"], "--userns"), (["--userns", "private"], "--userns"),
    (["--userns", "auto", "--privileged"], "--privileged"), (["--userns", "auto", "--network", "host"], "--network host"),
    (["--userns", "auto", "--pid", "host"], "--pid host"), (["--userns", "auto", "--ipc", "container:a"], "--ipc container:a"),
    (["--userns", "auto", "--uts", "host"], "--uts host"), (["--userns", "auto", "--cgroupns", "host"], "--cgroupns host"),
    (["--userns", "auto", "--pod", "p"], "--userns"), (["--userns", "auto:size=9"], "--userns"),
    (["--network", "container:a", "--hostname", "x"], "--hostname"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "why"), MISTAKES, ids=lambda v: " ".join(v) if isinstance(v, list) else None
)
def test_a_mistake_is_named(words: list[str], why: str) -> None:
    with pytest.raises(LadingError) as caught:
        pod(*words, "busybox")
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)


DOCKER_RUN_FLAGS = """
add-host annotation attach blkio-weight blkio-weight-device cap-add cap-drop cgroup-parent cgroupns cidfile cpu-count
cpu-percent cpu-period cpu-quota cpu-rt-period cpu-rt-runtime cpu-shares cpus cpuset-cpus cpuset-mems detach detach-keys
device device-cgroup-rule device-read-bps device-read-iops device-write-bps device-write-iops disable-content-trust dns
dns-opt dns-option dns-search domainname entrypoint env env-file expose gpus group-add health-cmd health-interval
health-retries health-start-interval health-start-period health-timeout hostname init interactive io-maxbandwidth
io-maxiops ip ip6 ipc isolation kernel-memory label label-file link link-local-ip log-driver log-opt mac-address memory
memory-reservation memory-swap memory-swappiness mount name net net-alias network network-alias no-healthcheck
oom-kill-disable oom-score-adj pid pids-limit platform privileged publish publish-all pull quiet read-only restart rm
runtime security-opt shm-size sig-proxy stop-signal stop-timeout storage-opt sysctl tmpfs tty ulimit use-api-socket user
userns uts volume volume-driver volumes-from workdir
""".split()


@pytest.mark.parametrize("name", DOCKER_RUN_FLAGS)
def test_every_flag_of_docker_run_is_supported_or_refused_by_name(name: str) -> None:
    command = next(c for c in ROOT.commands if c.name == "run")
    known = {n: f for f in command.flags for n in (f.name, *f.aliases)}
    assert name in known
    if known[name].refuse:
        with pytest.raises(LadingError, match=f"--{name}.*(not supported|no longer)"):
            parse(
                ROOT,
                [
                    "run",
                    f"--{name}={not known[name].default}" if known[name].kind == "bool" else f"--{name}=1",
                    "busybox",
                ],
            )
