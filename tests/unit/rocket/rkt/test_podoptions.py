"""What a command line says beside the manifest, in a Pod's words."""

from __future__ import annotations

from lading.formats.pod import (
    BlockLimit,
    Container,
    ContainerExtras,
    ContainerPort,
    Pod,
    PodSpec,
    ResourceRequirements,
    SystemCalls,
)
from lading.node import admission
from lading.rocket.rkt.podoptions import Network, PodOptions, Streams


def _applied(options: PodOptions, **extras: object) -> tuple[Pod, list[str]]:
    one = Container(
        name="one",
        image="x",
        resources=ResourceRequirements(limits={"memory": "1G", "cpu": "500m"}, requests={"memory": "1G"}),
        extras=ContainerExtras(**extras),
    )
    pod = Pod(spec=PodSpec(containers=[one, Container(name="two", image="x")]))
    pod.metadata.name = "pod"
    notes = options.apply(pod)
    admission.admit(admission.default(pod))
    return pod, notes


def test_nothing_said_leaves_an_app_as_it_is_but_for_its_end() -> None:
    pod, notes = _applied(PodOptions())
    one = pod.spec.containers[0]
    assert one.resources is not None and one.resources.limits == {"memory": "1G", "cpu": "500m"}
    assert (one.extras.default_action, one.stdin, one.tty, notes) == (True, False, False, [])


def test_limits_that_this_user_cannot_have_are_left_out_one_by_one_aloud() -> None:
    disks = [BlockLimit(read=1, write=1)]
    options = PodOptions(unlimited=["one"])
    pod, notes = _applied(
        options, cpu_shares=5, block_bandwidth=disks, block_operations=disks, oom_score_adj=7
    )
    one = pod.spec.containers[0]
    assert (
        one.resources,
        one.extras.cpu_shares,
        one.extras.block_bandwidth,
        one.extras.block_operations,
    ) == (
        None,
        None,
        [],
        [],
    )
    assert one.extras.oom_score_adj == 7
    assert [note.split(": ")[1] for note in notes] == [
        "isolator resource/memory",
        "isolator resource/cpu",
        "isolator os/linux/cpu-shares",
        "isolator resource/block-bandwidth",
        "isolator resource/block-iops",
    ]
    assert all(note.startswith("app 'one': ") for note in notes)


def test_rights_that_are_given_back() -> None:
    options = PodOptions(capable=True, unmasked=True, unfiltered=True, host_ipc=True)
    pod, _ = _applied(options, system_calls=SystemCalls(mode="remove", names=["mkdir"]))
    for container in pod.spec.containers:
        assert container.security_context is not None and container.security_context.capabilities is not None
        assert container.security_context.capabilities.add == ["ALL"]
        assert (container.extras.unmask, container.extras.seccomp) == (["ALL"], "unconfined")
        assert container.extras.system_calls is None
    assert pod.spec.host_ipc


def test_apps_start_again_when_that_is_asked_for() -> None:
    assert _applied(PodOptions())[0].spec.restart_policy == "Never"
    assert _applied(PodOptions(restart="OnFailure"))[0].spec.restart_policy == "OnFailure"


def test_streams_are_an_apps_own() -> None:
    pod, _ = _applied(PodOptions(streams={"two": Streams(stdin=True, tty=True)}))
    assert [(c.stdin, c.tty) for c in pod.spec.containers] == [(False, False), (True, True)]


def test_a_network_is_said_in_place_of_the_one_before() -> None:
    spec = PodSpec(
        containers=[Container(name="a", image="x", ports=[ContainerPort(container_port=1, host_port=1)])]
    )
    Network("none", hostname="first").apply(spec)
    Network("host").apply(spec)
    assert (spec.host_network, spec.extras.network_mode, spec.hostname) == (True, "host", "")
    assert spec.containers[0].ports == []  # they are the host's own there
