"""The CNI protocol against plugins that write down what they are asked."""

from __future__ import annotations

import json
import os

import pytest

from lading.errors import InvalidInput, NotFound, RemoteError, Unsupported
from lading.network import cni, cninetworks
from lading.network.model import Interface, PortMapping

PLUGIN = """#!/usr/bin/env python3
import json, os, sys
request = json.load(sys.stdin)
environ = os.environ
with open({log!r}, "a") as log:
    log.write(json.dumps([{name!r}, environ["CNI_COMMAND"], environ["CNI_IFNAME"], environ["CNI_ARGS"], request]) + "\\n")
if os.environ["CNI_COMMAND"] in {fail!r}:
    print(json.dumps({{"cniVersion": "1.0.0", "code": 100, "msg": "no luck", "details": "today"}}))
    sys.exit(1)
if os.environ["CNI_COMMAND"] == "ADD":
    result = request.get("prevResult") or {{"cniVersion": "1.0.0", "interfaces": [], "ips": []}}
    result["ips"].append({{"address": "10.9.0.%d/24" % (len(result["ips"]) + 2)}})
    print(json.dumps(result))
"""


@pytest.fixture
def site(tmp_path):
    class Site:
        log = tmp_path / "log"
        plugins = tmp_path / "bin"
        cache = str(tmp_path / "cache")

        def plugin(self, name, fail=()):
            path = self.plugins / name
            path.write_text(PLUGIN.format(log=str(self.log), name=name, fail=list(fail)))
            path.chmod(0o755)

        def network(self, plugins, **fields):
            path = tmp_path / "net.conflist"
            path.write_text(json.dumps({"cniVersion": "1.0.0", "name": "net", "plugins": plugins, **fields}))
            return cni.CniNetwork(cni.load(str(path)), [str(self.plugins)], self.cache)

        def calls(self):
            return (
                [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []
            )

    site = Site()
    site.plugins.mkdir()
    site.plugin("first")
    site.plugin("second")
    return site


def test_add_chains_results_and_del_runs_backwards_with_the_last_one(site):
    network = site.network([{"type": "first", "mine": 1}, {"type": "second"}])
    result = network.add("c1", "/proc/self/ns/net", args={"K8S_POD_NAME": "a"})
    assert [ip.address for ip in result.ips] == ["10.9.0.2/24", "10.9.0.3/24"]
    network.delete("c1", "/proc/self/ns/net")
    calls = site.calls()
    assert [(c[0], c[1]) for c in calls] == [
        ("first", "ADD"),
        ("second", "ADD"),
        ("second", "DEL"),
        ("first", "DEL"),
    ]
    assert calls[0][4] == {"type": "first", "mine": 1, "name": "net", "cniVersion": "1.0.0"}
    assert calls[0][3] == "K8S_POD_NAME=a"
    assert len(calls[1][4]["prevResult"]["ips"]) == 1
    assert len(calls[2][4]["prevResult"]["ips"]) == len(calls[3][4]["prevResult"]["ips"]) == 2
    assert os.listdir(site.cache) == []


def test_a_failing_add_undoes_what_came_before_and_says_the_plugins_words(site):
    site.plugin("second", fail=["ADD"])
    network = site.network([{"type": "first"}, {"type": "second"}])
    with pytest.raises(RemoteError, match="second ADD: no luck: today"):
        network.add("c1", "/proc/self/ns/net")
    assert [(c[0], c[1]) for c in site.calls()][2:] == [("second", "DEL"), ("first", "DEL")]
    assert os.listdir(site.cache) == []


def test_what_a_failing_add_was_given_and_cannot_give_back_stays_on_record(site):
    site.plugin("first", fail=["DEL"])
    site.plugin("second", fail=["ADD"])
    network = site.network([{"type": "first"}, {"type": "second"}])
    with pytest.raises(RemoteError, match="second ADD: no luck"):
        network.add("c1", "/proc/self/ns/net")
    assert os.listdir(site.cache) == ["net!c1!eth0.json"]
    site.plugin("first")
    network.delete("c1")
    assert os.listdir(site.cache) == []


def test_who_gave_nothing_owes_nothing(site):
    site.plugin("second", fail=["ADD", "DEL"])
    network = site.network([{"type": "first"}, {"type": "second"}])
    with pytest.raises(RemoteError, match="second ADD: no luck"):
        network.add("c1", "/proc/self/ns/net")
    assert os.listdir(site.cache) == []


def test_del_gets_no_result_before_the_specification_says_so(site):
    network = site.network([{"type": "first"}], cniVersion="0.3.1")
    network.add("c1", "/proc/self/ns/net")
    network.delete("c1")
    _add, delete = site.calls()
    assert (delete[1], "prevResult" in delete[4]) == ("DEL", False)


def test_plugins_in_the_folder_called_like_the_network_join_its_list(site, tmp_path):
    (tmp_path / "net").mkdir()
    (tmp_path / "net/20-b.conf").write_text(json.dumps({"type": "second", "n": 2}))
    (tmp_path / "net/10-a.conf").write_text(json.dumps({"type": "second", "n": 1}))
    (tmp_path / "net/readme").write_text("no plugin")
    assert [p.get("n") for p in site.network([{"type": "first"}]).config.plugins] == [None, 1, 2]
    alone = site.network([{"type": "first"}], loadOnlyInlinedPlugins=True)
    assert alone.config.plugins == [{"type": "first"}]
    with pytest.raises(InvalidInput, match="loadOnlyInlinedPlugins"):
        site.network([], loadOnlyInlinedPlugins=True)
    (tmp_path / "net/30-c.conf").write_text(json.dumps({"no": "type"}))
    with pytest.raises(InvalidInput, match=r"plugins\[3\].type"):
        site.network([{"type": "first"}])


def test_what_plugins_may_or_may_not_take_goes_to_those_that_do(site):
    network = site.network(
        [{"type": "first"}, {"type": "second", "capabilities": {"ips": True, "mac": True}}]
    )
    network.add("c1", "/proc/self/ns/net", optional={"ips": ["10.9.0.7"], "mac": ""})
    first, second = (c[4] for c in site.calls())
    assert "runtimeConfig" not in first
    assert second["runtimeConfig"] == {"ips": ["10.9.0.7"]}


def test_of_a_result_the_containers_own_interface_counts_alone():
    result = cni.CniResult.decode(
        {
            "cniVersion": "1.0.0",
            "interfaces": [
                {"name": "cni0", "mac": "0a:00:00:00:00:01"},
                {"name": "eth1", "mac": "0a:00:00:00:00:02", "sandbox": "/x"},
                {"name": "net9", "mac": "0a:00:00:00:00:03", "sandbox": "/x"},
            ],
            "ips": [
                {"address": "10.0.0.1/24", "interface": 0},
                {"address": "10.0.0.2/24", "interface": 1, "gateway": "10.0.0.1"},
                {"address": "10.0.9.2/24", "interface": 2, "gateway": "10.0.9.1"},
            ],
        },
        strict=False,
    )
    interface = Interface(name="eth1", network="n")
    cninetworks._adopt(result, interface)
    assert (interface.addresses, interface.gateways) == (["10.0.0.2/24"], ["10.0.0.1"])
    assert interface.mac == "0a:00:00:00:00:02"


def test_a_failing_del_does_not_stop_the_others_and_can_be_tried_again(site):
    network = site.network([{"type": "first"}, {"type": "second"}])
    network.add("c1", "/proc/self/ns/net")
    site.plugin("second", fail=["DEL"])
    with pytest.raises(RemoteError, match="no luck"):
        network.delete("c1")
    assert [(c[0], c[1]) for c in site.calls()][-1] == ("first", "DEL")
    assert os.listdir(site.cache) == ["net!c1!eth0.json"]
    site.plugin("second")
    network.delete("c1")
    network.delete("c1")
    assert os.listdir(site.cache) == []


def test_ports_reach_only_plugins_that_claim_the_capability(site):
    network = site.network([{"type": "first"}, {"type": "second", "capabilities": {"portMappings": True}}])
    network.add("c1", "/proc/self/ns/net", ports=[PortMapping(container_port=80, host_port=8080)])
    first, second = (c[4] for c in site.calls())
    assert "runtimeConfig" not in first
    assert second["runtimeConfig"] == {
        "portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]
    }
    assert "capabilities" not in second


def test_ports_without_such_a_plugin_are_refused_before_anything_runs(site):
    network = site.network([{"type": "first"}])
    with pytest.raises(Unsupported, match="portMappings"):
        network.add("c1", "/proc/self/ns/net", ports=[PortMapping(container_port=80, host_port=8080)])
    assert site.calls() == []


def test_an_attachment_is_written_down_before_the_first_plugin_runs(site):
    network = site.network([{"type": "first"}])
    (site.plugins / "first").write_text(
        "#!/bin/sh\nls " + site.cache + " >" + str(site.log) + "\necho '{}'\n"
    )
    network.add("c1", "/proc/self/ns/net")
    assert site.log.read_text() == "net!c1!eth0.json\n"


def test_a_missing_plugin_is_named_before_anything_runs(site):
    network = site.network([{"type": "first"}, {"type": "absent"}])
    with pytest.raises(NotFound, match="absent"):
        network.add("c1", "/proc/self/ns/net")
    assert site.calls() == []


@pytest.mark.parametrize(
    ("document", "error"),
    [
        ({"cniVersion": "1.0.0", "name": "a"}, InvalidInput),
        ({"cniVersion": "1.0.0", "name": "a", "plugins": []}, InvalidInput),
        ({"cniVersion": "1.0.0", "name": "a/b", "plugins": [{"type": "x"}]}, InvalidInput),
        ({"cniVersion": "1.0.0", "name": "a", "plugins": [{"type": "../x"}]}, InvalidInput),
        ({"cniVersion": "0.2.0", "name": "a", "plugins": [{"type": "x"}]}, Unsupported),
        ([], InvalidInput),
    ],
)
def test_a_configuration_that_breaks_the_rules_is_refused(tmp_path, document, error):
    path = tmp_path / "a.conflist"
    path.write_text(json.dumps(document))
    with pytest.raises(error):
        cni.load(str(path))


def test_a_single_plugins_configuration_is_a_list_of_one(tmp_path):
    (tmp_path / "10-a.conf").write_text(json.dumps({"cniVersion": "0.4.0", "name": "a", "type": "x", "y": 1}))
    config, path = cni.find([str(tmp_path)], "a")
    assert config.plugins == [{"type": "x", "y": 1}]
    assert path.endswith("10-a.conf")
    with pytest.raises(NotFound):
        cni.find([str(tmp_path)], "b")


def test_of_several_versions_the_highest_that_both_know_is_spoken(tmp_path):
    path = tmp_path / "net.conflist"
    document = {
        "cniVersion": "0.4.0",
        "cniVersions": ["0.4.0", "1.0.0", "9.0.0"],
        "name": "n",
        "plugins": [{"type": "x"}],
    }
    path.write_text(json.dumps(document))
    assert cni.load(str(path)).cni_version == "1.0.0"
    path.write_text(json.dumps({**document, "cniVersion": "9.0.0", "cniVersions": ["9.0.0"]}))
    with pytest.raises(Unsupported, match=r"9\.0\.0"):
        cni.load(str(path))
