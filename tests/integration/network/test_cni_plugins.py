"""The reference plugins, as Debian ships them, attach a namespace and leave nothing behind."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from lading.network import cni
from lading.network.model import PortMapping

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not os.path.exists("/usr/lib/cni/bridge"), reason="CNI plugins missing"),
]


@pytest.fixture
def holder():
    """A process in a network namespace of its own; the path of that namespace."""
    process = subprocess.Popen(
        ["unshare", "--net", "sh", "-c", "echo up; exec sleep 60"], stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"up\n"
    yield f"/proc/{process.pid}/ns/net"
    process.kill()
    process.wait()
    process.stdout.close()


def test_bridge_and_loopback_give_addresses_and_take_them_back(tmp_path, holder):
    bridge = f"ldcni{os.getpid() % 100000}"
    path = tmp_path / "net.conflist"
    path.write_text(
        json.dumps(
            {
                "cniVersion": "1.0.0",
                "name": "proof",
                "plugins": [
                    {
                        "type": "bridge",
                        "bridge": bridge,
                        "isGateway": True,
                        "ipam": {
                            "type": "host-local",
                            "subnet": "10.211.7.0/24",
                            "dataDir": str(tmp_path / "ipam"),
                        },
                    },
                    {"type": "tuning", "sysctl": {"net.ipv4.ip_default_ttl": "77"}},
                ],
            }
        )
    )
    network = cni.CniNetwork(cni.load(str(path)), [], str(tmp_path / "cache"))
    try:
        result = network.add("c1", holder)
        (address,) = result.ips
        assert address.address.startswith("10.211.7.")
        shown = subprocess.run(
            ["nsenter", f"--net={holder}", "ip", "-j", "addr", "show", "eth0"],
            capture_output=True,
            check=True,
        ).stdout
        assert json.loads(shown)[0]["addr_info"][0]["local"] + "/24" == address.address
        network.delete("c1", holder)
        gone = subprocess.run(
            ["nsenter", f"--net={holder}", "ip", "link", "show", "eth0"], capture_output=True
        )
        assert gone.returncode != 0
        assert not [n for n in os.listdir(tmp_path / "ipam/proof") if n[0].isdigit()]
    finally:
        subprocess.run(["ip", "link", "delete", bridge], capture_output=True)


def test_a_list_without_portmap_refuses_ports(tmp_path, holder):
    path = tmp_path / "lo.conflist"
    path.write_text(json.dumps({"cniVersion": "1.0.0", "name": "lo", "plugins": [{"type": "loopback"}]}))
    network = cni.CniNetwork(cni.load(str(path)), [], str(tmp_path / "cache"))
    with pytest.raises(Exception, match="portMappings"):
        network.add("c1", holder, "lo", ports=[PortMapping(container_port=80, host_port=8080)])
    assert network.add("c1", holder, "lo").interfaces[0].name == "lo"
    network.delete("c1", holder, "lo")
