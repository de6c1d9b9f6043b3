"""What a change of networks makes of a Pod, and of files that the container may have written to."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from lading.errors import Conflict, InvalidInput, NotFound
from lading.formats.pod import Container, NetworkRequest, ObjectMeta, Pod, PodSpec
from lading.network import Network
from lading.node.connecting import DISCONNECTED, _rewrite, edit, merged
from lading.node.model import PodRecord


def record(*networks: str, mode: str = "") -> PodRecord:
    spec = PodSpec(containers=[Container(name="c", image="i")])
    spec.extras.networks = [NetworkRequest(name=n) for n in networks]
    spec.extras.network_mode = mode
    return PodRecord(id="1" * 64, name="box", pod=Pod(metadata=ObjectMeta(name="box"), spec=spec))


class Networks:
    def get(self, name: str) -> Network:
        return Network(name=name, names=name != "lading", subnets=["10.0.0.0/24"])


SHOP = SimpleNamespace(networks=Networks())


def connect(made: PodRecord, **want: object) -> None:
    request = {"op": "connect", "network": NetworkRequest(**want).encode()}  # type: ignore[arg-type]
    edit(SHOP, made.pod.spec.extras, made, request)  # type: ignore[arg-type]


def disconnect(made: PodRecord, name: str) -> None:
    edit(SHOP, made.pod.spec.extras, made, {"op": "disconnect", "network": name})  # type: ignore[arg-type]


def names(made: PodRecord) -> list[str]:
    return [n.name for n in made.pod.spec.extras.networks]


def test_the_default_network_is_written_down_once_it_is_one_of_several() -> None:
    made = record()
    connect(made, name="blue", aliases=["x"])
    assert names(made) == ["bridge", "blue"]
    disconnect(made, "default")
    assert names(made) == ["blue"]


def test_who_leaves_the_last_network_is_on_none_until_it_is_connected() -> None:
    made = record("blue")
    disconnect(made, "blue")
    assert (names(made), made.pod.spec.extras.network_mode) == ([], DISCONNECTED)
    with pytest.raises(NotFound) as told:
        disconnect(made, "bridge")
    assert told.value.reason == "not-connected"
    connect(made, name="bridge")
    assert (names(made), made.pod.spec.extras.network_mode) == (["bridge"], "")


@pytest.mark.parametrize(
    ("mode", "want", "error", "reason"),
    [
        ("", {"name": "bridge"}, Conflict, "connected"),
        ("", {"name": "lading"}, Conflict, "connected"),
        ("", {"name": "host"}, Conflict, "network-mode"),
        ("none", {"name": "blue"}, Conflict, "network-mode"),
        ("host", {"name": "blue"}, Conflict, "network-mode"),
        ("container:x", {"name": "blue"}, Conflict, "network-mode"),
        ("ns:/x", {"name": "blue"}, Conflict, "network-mode"),
        (DISCONNECTED, {"name": "bridge", "aliases": ["x"]}, InvalidInput, "invalid"),
        ("", {"name": "blue", "ipv6": "fd00::1"}, InvalidInput, "invalid"),
    ],
)
def test_what_cannot_be_connected(
    mode: str, want: dict[str, object], error: type[Exception], reason: str
) -> None:
    made = record(mode=mode)
    with pytest.raises(error) as told:
        connect(made, **want)
    assert told.value.reason == reason  # type: ignore[attr-defined]
    assert (names(made), made.pod.spec.extras.network_mode) == ([], mode)


def test_lines_of_the_containers_own_stay_in_its_hosts_file() -> None:
    old, new = "127.0.0.1 localhost\n10.0.0.2 box\n", "127.0.0.1 localhost\n10.0.1.2 box\n"
    text = "127.0.0.1 localhost\n10.0.0.2 box\n1.2.3.4 mine\n"
    assert merged(text, old, new) == "127.0.0.1 localhost\n1.2.3.4 mine\n10.0.1.2 box\n"
    assert merged("1.2.3.4 mine\n", old, new) == "1.2.3.4 mine\n10.0.1.2 box\n"


def test_files_are_brought_up_to_date_in_place_and_a_missing_one_is_passed_over(tmp_path: Path) -> None:
    old = {"hosts": "127.0.0.1 localhost\n10.0.0.2 box\n", "resolv.conf": "nameserver 1.1.1.1\n"}
    new = {"hosts": "127.0.0.1 localhost\n", "resolv.conf": "nameserver 10.0.0.1\n"}
    (tmp_path / "hosts").write_text(old["hosts"] + "1.2.3.4 mine\n")
    inode = (tmp_path / "hosts").stat().st_ino
    _rewrite(str(tmp_path), old, new)
    assert (tmp_path / "hosts").read_text() == "127.0.0.1 localhost\n1.2.3.4 mine\n"
    assert (tmp_path / "hosts").stat().st_ino == inode  # it is what the container has mounted
    (tmp_path / "resolv.conf").write_text("nameserver 9.9.9.9\n")
    _rewrite(str(tmp_path), old, new)
    assert (tmp_path / "resolv.conf").read_text() == "nameserver 9.9.9.9\n"
    (tmp_path / "resolv.conf").write_text(old["resolv.conf"])
    _rewrite(str(tmp_path), old, new)
    assert (tmp_path / "resolv.conf").read_text() == new["resolv.conf"]
