"""A file system made with one call of the old API, where the new one would take ten."""

from __future__ import annotations

import pytest

from lading.errors import KernelError
from lading.kernel.mounts import (
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY,
    MOUNT_ATTR_STRICTATIME,
    MS_NODEV,
    MS_NOSUID,
    Mounts,
)


class Recorder(Mounts):
    """Writes down what mount(2) is asked, and refuses when told to."""

    def __init__(self, errno: int = 0) -> None:
        self.calls: list[tuple[object, ...]] = []
        self.errno = errno

    def mount(self, source: str, target: str, fstype: str = "", flags: int = 0, data: str = "") -> None:
        self.calls.append((source, target, fstype, flags, data))
        if self.errno:
            raise KernelError("mount", self.errno)


def test_the_target_is_the_descriptor_and_the_options_are_text() -> None:
    kernel = Recorder()
    attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_STRICTATIME
    assert kernel.mount_on(7, "tmpfs", "shm", [("mode", "755"), ("newinstance", None)], attributes)
    assert kernel.mount_on(7, "cgroup", "cgroup", [("name", "systemd")], 0, "systemd")
    assert kernel.calls == [
        ("shm", "/proc/self/fd/7", "tmpfs", MS_NOSUID | MS_NODEV | 1 << 24, "mode=755,newinstance"),
        ("cgroup", "/proc/self/fd/7/systemd", "cgroup", 0, "name=systemd"),
    ]


@pytest.mark.parametrize(
    ("options", "attributes"),
    [
        ([("mode", "755,size=1")], 0),  # would become two options
        ([("context", "a\\054b")], 0),
        ([], MOUNT_ATTR_RDONLY),  # would be the file system's, not the mount's
    ],
)
def test_what_the_old_api_would_understand_otherwise_is_left_to_the_new_one(
    options: list[tuple[str, str | None]], attributes: int
) -> None:
    kernel = Recorder()
    assert not kernel.mount_on(7, "tmpfs", "tmpfs", options, attributes)
    assert kernel.calls == []


def test_a_refusal_is_left_to_the_way_that_can_say_why() -> None:
    assert not Recorder(22).mount_on(7, "tmpfs", "tmpfs", [], 0)
