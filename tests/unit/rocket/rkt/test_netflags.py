"""Networks, name servers and host names by Rocket's flags."""

from __future__ import annotations

import pytest

from lading.errors import Conflict, InvalidInput, NotFound, Unsupported
from lading.formats.pod import Container, NetworkRequest, Pod, PodSpec
from lading.node import admission
from lading.rocket.rkt.line import Line
from lading.rocket.rkt.netflags import make_restricted, network, networks

HOST = {
    "/etc/resolv.conf": "nameserver 192.0.2.1\nsearch home.example\noptions ndots:3\n",
    "/etc/hosts": "127.0.0.1 localhost\n::1 localhost\n192.0.2.7 printer printer.example # upstairs\n",
}

EVERY = ["back", "default-restricted"]


def _spec(**flags: object) -> PodSpec:
    line = Line()
    line.take({name.replace("_", "-"): value for name, value in flags.items()})
    spec = PodSpec(containers=[Container(name="a", image="b")])
    network(line, HOST.__getitem__, lambda: EVERY).apply(spec)
    pod = Pod(spec=spec)
    pod.metadata.name = "pod"
    admission.admit(admission.default(pod))
    return spec


def _net(name: str, **fields: str) -> NetworkRequest:
    return NetworkRequest(name=name, **fields)


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        ([], ("", [])),
        (["default"], ("", [])),
        (["host"], ("host", [])),
        (["none"], ("none", [])),
        (["default-restricted"], ("", [_net("default-restricted")])),
        (["all"], ("", [_net("bridge"), _net("back"), _net("default-restricted")])),
        (["a,b"], ("", [_net("a"), _net("b")])),
        (["a", "default"], ("", [_net("a"), _net("bridge")])),
        (["a:IP=10.1.2.3"], ("", [_net("a", ipv4="10.1.2.3")])),
        (["a:IP=fd00::3"], ("", [_net("a", ipv6="fd00::3")])),
        (["default:IP=10.1.2.3;IP=fd00::3"], ("", [_net("bridge", ipv4="10.1.2.3", ipv6="fd00::3")])),
    ],
)
def test_networks(texts: list[str], found: tuple[str, list[NetworkRequest]]) -> None:
    assert networks(texts, lambda: EVERY) == found


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("host,a", InvalidInput),
        ("none,host", InvalidInput),
        ("host:IP=1.2.3.4", InvalidInput),
        ("a,a", InvalidInput),
        ("a:IP=x", InvalidInput),
        ("a:IP", InvalidInput),
        (":IP=1.2.3.4", InvalidInput),
        ("a:MTU=1", Unsupported),
        ("all,a", InvalidInput),
        ("all:IP=1.2.3.4", InvalidInput),
    ],
)
def test_networks_that_are_none(text: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        networks([text], lambda: EVERY)


def test_name_servers_take_the_place_of_the_networks() -> None:
    spec = _spec(dns=["9.9.9.9,fd00::1"], dns_search=["a.example"], dns_opt=["ndots:2", "rotate"])
    assert spec.dns_policy == "None" and spec.dns_config is not None
    assert spec.dns_config.nameservers == ["9.9.9.9", "fd00::1"]
    assert [(o.name, o.value) for o in spec.dns_config.options] == [("ndots", "2"), ("rotate", None)]


def test_search_domains_go_beside_the_networks_servers() -> None:
    for flags in ({"dns_search": ["a.example"]}, {"dns_domain": "a.example"}):
        spec = _spec(**flags)
        assert spec.dns_policy == "ClusterFirst" and spec.dns_config is not None
        assert (spec.dns_config.nameservers, spec.dns_config.searches) == ([], ["a.example"])
    assert _spec().dns_config is None


def test_the_hosts_own_files() -> None:
    spec = _spec(dns=["host"], hosts_entry=["host"])
    assert spec.dns_config is not None
    assert (spec.dns_config.nameservers, spec.dns_config.searches) == (["192.0.2.1"], ["home.example"])
    assert [(a.ip, a.hostnames) for a in spec.host_aliases] == [("192.0.2.7", ["printer", "printer.example"])]


def test_entries_of_the_hosts_file_are_gathered_by_address() -> None:
    spec = _spec(hosts_entry=["10.0.0.1=a,10.0.0.2=b", "10.0.0.1=c"])
    assert [(a.ip, a.hostnames) for a in spec.host_aliases] == [("10.0.0.1", ["a", "c"]), ("10.0.0.2", ["b"])]


def test_host_names_with_and_without_dots() -> None:
    assert (_spec(hostname="web").hostname, _spec(hostname="web").hostname_override) == ("web", "")
    dotted = _spec(hostname="web.example.com")
    assert (dotted.hostname, dotted.hostname_override) == ("", "web.example.com")


@pytest.mark.parametrize(
    ("flags", "error"),
    [
        ({"dns": ["none", "192.0.2.1"]}, InvalidInput),
        ({"dns": ["host", "9.9.9.9"]}, InvalidInput),
        ({"dns": ["host"], "dns_opt": ["rotate"]}, InvalidInput),
        ({"dns": ["a.example"]}, InvalidInput),
        ({"hosts_entry": ["a"]}, InvalidInput),
        ({"hosts_entry": ["1.2.3.4="]}, InvalidInput),
        ({"hosts_entry": ["x=y"]}, InvalidInput),
        ({"hosts_entry": ["host", "1.2.3.4=a"]}, InvalidInput),
        ({"net": ["host"], "hostname": "x"}, InvalidInput),
    ],
)
def test_what_is_wrong(flags: dict[str, object], error: type[Exception]) -> None:
    with pytest.raises(error):
        _spec(**flags)


def test_an_image_may_keep_its_own_way_to_resolve_names() -> None:
    assert _spec(dns=["none"]).extras.own_files == ["resolv.conf"]
    assert _spec().extras.own_files == []


class Networks:
    """The networks of a machine where somebody else makes one at the same moment."""

    def __init__(self, *names: str, busy: bool = False) -> None:
        self.names = set(names)
        self.busy = busy
        self.made: list[tuple[str, bool]] = []

    def get(self, name: str) -> None:
        if name not in self.names:
            raise NotFound(name)

    def create(self, name: str, *, internal: bool) -> None:
        self.names.add(name)
        if self.busy:
            raise Conflict(name)
        self.made.append((name, internal))


@pytest.mark.parametrize(
    ("networks", "made"),
    [
        (Networks(), [("default-restricted", True)]), (Networks("default-restricted"), []), (Networks(busy=True), []),
    ],
)  # fmt: skip
def test_the_network_without_a_way_out_is_made_once(networks: Networks, made: list[tuple[str, bool]]) -> None:
    make_restricted(networks)  # type: ignore[arg-type]
    assert networks.made == made
