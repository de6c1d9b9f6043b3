"""Where volumes come from and what they cover."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.rocket.rkt.conftest import ID, image

from lading.errors import InvalidInput
from lading.formats.appc.pod import Mount, PodManifest, RuntimeApp, RuntimeImage, Volume
from lading.rocket.rkt import mountchecks
from lading.rocket.rkt.appimages import AppImage


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    made = tmp_path / "layer"
    (made / "srv/full/x").mkdir(parents=True)
    (made / "srv/empty").mkdir()
    (made / "srv/file").write_text("")
    (made / "srv/link").symlink_to("full")
    return made


def _image(layer: Path) -> AppImage:
    made = image()
    made.image.layers = [str(layer)]
    return made


def _look(layer: Path, volume: Volume, path: str) -> list[str]:
    app = RuntimeApp(name="main", image=RuntimeImage(id=ID), mounts=[Mount(volume=volume.name, path=path)])
    return mountchecks.look(PodManifest.new().replace(apps=[app], volumes=[volume]), {ID: _image(layer)})


@pytest.mark.parametrize(
    ("path", "hides"),
    [
        ("/srv/full", True),
        ("/srv/link", True),
        ("/srv", True),
        ("/srv/empty", False),
        ("/srv/none/deep", False),
    ],
)
def test_who_covers_files_of_the_image_is_told(layer: Path, path: str, hides: bool) -> None:
    told = [f"app 'main': volume 'data' hides what the image has in {path}"]
    assert _look(layer, Volume(name="data", kind="empty"), path) == (told if hides else [])


def test_a_directory_takes_the_place_of_a_file_which_is_told_and_a_file_is_mounted_on_it(
    layer: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    told = ["app 'main': volume 'data' takes the place of the file that the image has at /srv/file"]
    for volume in (
        Volume(name="data", kind="empty"),
        Volume(name="data", kind="host", source=str(tmp_path)),
    ):
        assert _look(layer, volume, "/srv/file") == told
    assert _look(layer, Volume(name="data", kind="host", source=f"{tmp_path}/file"), "/srv/file") == []


def test_in_an_image_of_a_registry_a_file_does_not_make_way(layer: Path) -> None:
    made = _image(layer)
    made.image.kind = "oci"
    mount = Mount(volume="data", path="/srv/file", app_volume=Volume(name="data", kind="empty"))
    app = RuntimeApp(name="main", image=RuntimeImage(id=ID), mounts=[mount])
    with pytest.raises(InvalidInput, match="'data' is a directory, and the image has a file at /srv/file"):
        mountchecks.look(PodManifest.new().replace(apps=[app]), {ID: made})


def test_a_source_behind_a_symbolic_link_is_refused_wherever_the_link_stands(
    layer: Path, tmp_path: Path
) -> None:
    (tmp_path / "real/data").mkdir(parents=True)
    (tmp_path / "way").symlink_to("real")
    (tmp_path / "end").symlink_to(tmp_path / "real/data")
    for source in ("way/data", "end", "end/", "way"):
        for own in (True, False):
            volume = Volume(name="data", kind="host", source=f"{tmp_path}/{source}")
            app = RuntimeApp(name="main", image=RuntimeImage(id=ID))
            manifest = PodManifest.new().replace(apps=[app], volumes=[] if own else [volume])
            if own:
                app.mounts = [Mount(volume="data", path="/d", app_volume=volume)]
            with pytest.raises(InvalidInput) as caught:
                mountchecks.look(manifest, {ID: _image(layer)})
            assert caught.value.reason == "symbolic-link"
            assert f"{tmp_path}/real" in str(caught.value.hint)
    assert _look(layer, Volume(name="data", kind="host", source=f"{tmp_path}/real/data"), "/d") == []


def test_a_source_that_is_missing_is_left_to_who_mounts_it(layer: Path, tmp_path: Path) -> None:
    assert _look(layer, Volume(name="data", kind="host", source=f"{tmp_path}/none"), "/d") == []
