"""Looking files up in stacked layers: as overlayfs would, and never outside."""

from __future__ import annotations

import os
from pathlib import Path

from lading.kernel import tree
from lading.node import layered


def _layers(tmp_path: Path) -> list[str]:
    top, bottom = tmp_path / "top", tmp_path / "bottom"
    (bottom / "etc").mkdir(parents=True)
    (top / "etc").mkdir(parents=True)
    (bottom / "etc/passwd").write_text("low")
    (bottom / "etc/group").write_text("group")
    (top / "etc/passwd").write_text("high")
    return [str(top), str(bottom)]


def test_upper_layer_wins_and_lower_shows_through(tmp_path: Path) -> None:
    layers = _layers(tmp_path)
    assert layered.read(layers, "/etc/passwd") == b"high" and layered.read(layers, "/etc/group") == b"group"
    assert layered.read(layers, "/etc/none") == b"" and layered.read(layers, "/etc") == b""


def test_links_are_resolved_inside_the_root(tmp_path: Path) -> None:
    layers = _layers(tmp_path)
    secret = tmp_path / "secret"
    secret.write_text("secret")
    os.symlink("/etc/group", f"{layers[0]}/absolute")
    os.symlink("../../../../etc/group", f"{layers[0]}/etc/relative")
    os.symlink(str(secret), f"{layers[0]}/escape")
    os.symlink("loop", f"{layers[0]}/loop")
    assert layered.read(layers, "/absolute") == b"group"
    assert layered.read(layers, "/etc/relative") == b"group"
    assert layered.read(layers, "/escape") == b"" and layered.read(layers, "/loop") == b""


def test_a_directory_holds_what_its_layers_hold_and_no_layer_hides(tmp_path: Path) -> None:
    layers = _layers(tmp_path)
    for directory in ("empty", "below", "hidden"):
        os.mkdir(f"{layers[1]}/{directory}")
        os.mkdir(f"{layers[0]}/{directory}")
    (tmp_path / "bottom/below/a").write_text("")
    (tmp_path / "bottom/hidden/a").write_text("")
    os.mknod(tmp_path / "top/hidden/a", 0o20600, os.makedev(0, 0))
    os.symlink("below", f"{layers[0]}/link")
    found = {
        path: layered.holds_something(layers, path)
        for path in ("/empty", "/below", "/hidden", "/link", "/none", "/etc/group", "/")
    }
    assert [path for path, holds in found.items() if holds] == ["/below", "/link", "/"]


def test_tree_removal_does_not_follow_links(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("x")
    victim = tmp_path / "victim/deep/er"
    victim.mkdir(parents=True)
    os.symlink(outside, victim / "link")
    os.symlink(outside, tmp_path / "link")
    tree.remove(str(tmp_path / "victim"))
    tree.remove(str(tmp_path / "link"))
    tree.remove(str(tmp_path / "never"))
    assert (outside / "kept").exists() and not (tmp_path / "victim").exists()
    assert not (tmp_path / "link").is_symlink()
