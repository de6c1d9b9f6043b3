"""Volumes of pods on the real kernel: whose they are, what may be done in them, and which part is mounted."""

from __future__ import annotations

import os
import socket
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lading.errors import InvalidInput, LadingError
from lading.formats.pod import Pod
from lading.node import Node, Stdio

pytestmark = pytest.mark.root
GROUP = 4321


def _until(check: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not check():
        assert time.monotonic() < end, "it never became true"
        time.sleep(0.02)


def _sh(name: str, script: str, *mounts: dict[str, object], **fields: object) -> dict[str, object]:
    return {
        "name": name,
        "image": "busybox",
        "command": ["sh", "-c", script],
        "volumeMounts": list(mounts),
        **fields,
    }


def _run(node: Node, name: str, *containers: dict[str, object], **spec: object) -> tuple[int, list[str]]:
    """Run a pod to its end: its exit code and what it wrote."""
    pod = Pod.decode(
        {
            "metadata": {"name": name},
            "spec": {
                "restartPolicy": "Never",
                "terminationGracePeriodSeconds": 2,
                "hostNetwork": True,
                "containers": list(containers),
                **spec,
            },
        }
    )
    node.run_detached(pod)
    code = node.wait(name)
    _until(lambda: node.inspect(name).keeper_pid == 0)
    return code, [line.text.decode() for line in node.logs(name)]


def test_a_claim_is_given_to_the_group_once_and_its_sockets_too(node: Node) -> None:
    node.volumes.create("claim")
    path = Path(node.volumes.source("claim").path)
    (path / "d").mkdir(mode=0o700)
    (path / "d" / "f").write_text("")
    (path / "d" / "f").chmod(0o600)
    (path / "away").symlink_to("/etc/passwd")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path / "s"))
    before = os.stat("/etc/passwd").st_gid
    mount = {"name": "v", "mountPath": "/v"}
    code, said = _run(
        node,
        "grouped",
        _sh("main", "stat -c '%n %a %g' /v /v/d /v/d/f /v/s /v/key; id -G", mount),
        initContainers=[_sh("first", "touch /v/key; chmod 600 /v/key", mount)],
        volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "claim"}}],
        securityContext={"fsGroup": GROUP},
    )
    assert code == 0
    assert [line.split()[2] for line in said[:5]] == [str(GROUP)] * 5
    modes = {line.split()[0]: int(line.split()[1], 8) for line in said[:5]}
    assert modes["/v"] & 0o2070 == modes["/v/d"] & 0o2070 == 0o2070
    assert modes["/v/d/f"] == 0o660 and modes["/v/s"] & 0o060 == 0o060
    assert modes["/v/key"] == 0o600, "a private key stays private when the next container starts"
    assert str(GROUP) in said[5].split()
    assert os.stat("/etc/passwd").st_gid == before


def test_a_claim_whose_root_is_the_groups_is_left_alone_when_asked(node: Node) -> None:
    node.volumes.create("done")
    path = Path(node.volumes.source("done").path)
    os.chown(path, -1, GROUP)
    path.chmod(0o2775)
    (path / "f").write_text("")
    (path / "f").chmod(0o600)
    for policy, mode in (("OnRootMismatch", "600"), ("Always", "660")):
        _, said = _run(
            node,
            f"policy-{policy.lower()}",
            _sh("main", "stat -c %a /v/f", {"name": "v", "mountPath": "/v"}),
            volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "done"}}],
            securityContext={"fsGroup": GROUP, "fsGroupChangePolicy": policy},
        )
        assert said == [mode]


def test_empty_directories_have_their_mode_and_mounts_their_options(node: Node) -> None:
    _, said = _run(
        node,
        "modes",
        _sh(
            "main",
            "stat -c %a /d /m /o; grep -E ' /(o) ' /proc/self/mounts",
            {"name": "d", "mountPath": "/d"},
            {"name": "m", "mountPath": "/m"},
            {"name": "o", "mountPath": "/o", "bindMountOptions": ["noexec", "nosuid"]},
        ),
        volumes=[
            {"name": "d", "emptyDir": {}},
            {"name": "m", "emptyDir": {"medium": "Memory"}},
            {"name": "o", "emptyDir": {"mode": 0o1750}},
        ],
    )
    assert said[:3] == ["777", "777", "1750"]
    assert {"noexec", "nosuid"} <= set(said[3].split()[3].split(","))


def test_empty_directories_belong_to_who_is_named(node: Node) -> None:
    _, said = _run(
        node,
        "owned",
        _sh(
            "main",
            "stat -c '%u %g %a' /d /m",
            {"name": "d", "mountPath": "/d"},
            {"name": "m", "mountPath": "/m"},
        ),
        volumes=[
            {"name": "d", "emptyDir": {"uid": 1234, "gid": 4321, "mode": 0o1750}},
            {"name": "m", "emptyDir": {"medium": "Memory", "uid": 1234}},
        ],
    )
    assert said == ["1234 4321 1750", "1234 0 777"]


def test_a_path_of_the_host_may_be_forbidden_to_lead_through_links(node: Node, tmp_path: Path) -> None:
    (tmp_path / "real/in").mkdir(parents=True)
    (tmp_path / "real/in/f").write_text("seen")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    mount = {"name": "v", "mountPath": "/v"}

    def run(name: str, path: str, follow: bool, **more: str) -> list[str]:
        volume = {"name": "v", "hostPath": {"path": f"{tmp_path}/{path}", "noFollow": not follow, **more}}
        return _run(node, name, _sh("main", "cat /v/f", mount), volumes=[volume])[1]

    assert run("straight", "real/in", False, type="Directory") == ["seen"]
    assert run("through", "link/in", True) == ["seen"]
    for name, path in (("middle", "link/in"), ("end", "link")):
        with pytest.raises(InvalidInput, match="symbolic link") as caught:
            run(name, path, False)
        assert caught.value.reason == "link" and "volume v" in str(caught.value)
    with pytest.raises(InvalidInput, match="No such file"):
        run("missing", "none", False)
    with pytest.raises(InvalidInput, match="noFollow: does not go with type DirectoryOrCreate"):
        run("made", "new", False, type="DirectoryOrCreate")


def test_groups_of_the_image_are_left_out_when_the_policy_is_strict(node: Node) -> None:
    seen = {}
    for policy in ("Merge", "Strict"):
        _, (seen[policy],) = _run(
            node,
            f"groups-{policy.lower()}",
            _sh("main", "id -G"),
            securityContext={"supplementalGroups": [GROUP], "supplementalGroupsPolicy": policy},
        )
    assert seen["Strict"].split() == ["0", str(GROUP)]
    assert set(seen["Merge"].split()) >= {"0", str(GROUP)}


def test_parts_of_volumes_leave_no_descriptor_in_the_keeper(node: Node) -> None:
    sub = {"name": "v", "mountPath": "/v", "subPath": "a/b"}
    pod = Pod.decode(
        {
            "metadata": {"name": "parts"},
            "spec": {
                "hostNetwork": True,
                "terminationGracePeriodSeconds": 0,
                "containers": [_sh("main", "sleep 1000", sub)],
                "volumes": [{"name": "v", "emptyDir": {}}],
            },
        }
    )
    record = node.run_detached(pod)
    held = [
        os.readlink(f"/proc/{record.keeper_pid}/fd/{fd}")
        for fd in os.listdir(f"/proc/{record.keeper_pid}/fd")
        if os.path.lexists(f"/proc/{record.keeper_pid}/fd/{fd}")
    ]
    assert not [path for path in held if path.endswith("/a/b")]
    node.remove("parts", force=True)


@pytest.mark.parametrize(
    ("volume", "mount", "words"),
    [
        ({"hostPath": {"path": "{tmp}/no/f", "type": "FileOrCreate"}}, {}, "No such file"),
        ({"hostPath": {"path": "{tmp}/no"}}, {}, "No such file"),
        ({"hostPath": {"path": "{tmp}", "type": "File"}}, {}, "is not of type File"),
        ({"hostPath": {"path": "{tmp}", "type": "Socket"}}, {}, "is not of type Socket"),
        ({"hostPath": {"path": "{tmp}", "type": "CharDevice"}}, {}, "is not of type CharDevice"),
        ({"hostPath": {"path": "{tmp}", "type": "BlockDevice"}}, {}, "is not of type BlockDevice"),
        ({"hostPath": {"path": "/dev/null", "type": "Directory"}}, {}, "is not of type Directory"),
        ({"hostPath": {"path": "/etc/passwd", "type": "File"}}, {"subPath": "x"}, "is no directory"),
        ({"emptyDir": {}}, {"subPathExpr": "$(NOWHERE)"}, "there is no variable NOWHERE"),
    ],
)
def test_a_volume_that_cannot_be_is_explained(
    node: Node, tmp_path: Path, volume: dict[str, dict[str, str]], mount: dict[str, str], words: str
) -> None:
    (made,) = volume.items()
    source = {key: value.replace("{tmp}", str(tmp_path)) for key, value in made[1].items()}
    with pytest.raises(InvalidInput, match=words):
        _run(
            node,
            "impossible",
            _sh("main", "true", {"name": "v", "mountPath": "/v", **mount}),
            volumes=[{"name": "v", made[0]: source}],
        )


def test_host_paths_are_made_or_taken_by_their_type(node: Node, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
    kinds = {
        "dir": ("DirectoryOrCreate", str(tmp_path / "a" / "b")),
        "file": ("FileOrCreate", str(tmp_path / "f")),
        "socket": ("Socket", str(tmp_path / "socket")),
        "null": ("CharDevice", "/dev/null"),
        "any": ("", str(tmp_path)),
        "there": ("Directory", str(tmp_path)),
    }
    code, said = _run(
        node,
        "kinds",
        _sh("main", "stat -c %F /v/*", *({"name": n, "mountPath": f"/v/{n}"} for n in kinds)),
        volumes=[{"name": n, "hostPath": {"type": t, "path": p}} for n, (t, p) in kinds.items()],
    )
    assert code == 0 and len(said) == len(kinds)
    assert stat.S_IMODE(os.stat(tmp_path / "a" / "b").st_mode) == 0o755
    assert stat.S_IMODE(os.stat(tmp_path / "f").st_mode) == 0o644


def test_host_paths_are_made_with_their_modes_whatever_the_umask(node: Node, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    before = os.umask(0o077)
    try:
        volumes = [
            {"name": "d", "hostPath": {"type": "DirectoryOrCreate", "path": str(tmp_path / "d")}},
            {"name": "f", "hostPath": {"type": "FileOrCreate", "path": str(tmp_path / "f")}},
        ]
        pod = Pod.decode(
            {
                "metadata": {"name": "masked"},
                "spec": {
                    "restartPolicy": "Never",
                    "hostNetwork": True,
                    "volumes": volumes,
                    "containers": [_sh("main", "true", *({"name": n, "mountPath": f"/{n}x"} for n in "df"))],
                },
            }
        )
        assert node.run(pod, Stdio(stdin=-1, stdout=-1, stderr=-1)) == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(tmp_path / "d").st_mode) == 0o755
    assert stat.S_IMODE(os.stat(tmp_path / "f").st_mode) == 0o644


def test_an_empty_directory_that_a_kill_left_half_made_is_made_whole(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lading.node import podvolumes

    def killed(path: str, group: int) -> None:
        raise LadingError("as if killed here")

    mount = {"name": "v", "mountPath": "/v"}
    fields = {"volumes": [{"name": "v", "emptyDir": {}}], "securityContext": {"fsGroup": GROUP}}
    with monkeypatch.context() as patch:
        patch.setattr(podvolumes, "own", killed)
        with pytest.raises(LadingError, match="as if killed"):
            _run(node, "half", _sh("main", "stat -c '%a %g' /v", mount), **fields)
    node.start("half")
    node.wait("half")
    _until(lambda: node.inspect("half").keeper_pid == 0)
    assert [line.text.decode() for line in node.logs("half")] == [f"2777 {GROUP}"]
