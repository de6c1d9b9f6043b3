"""A busybox root, a runtime of one's own, and a way to run something and read what it printed."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lading.errors import LadingError
from lading.formats.oci_runtime import Capabilities, Linux, Mount, Namespace, Process, Root, Spec, User
from lading.kernel.capabilities import NAMES
from lading.runtime import Container, RunRequest, Runtime, Stdio

ALL = list(NAMES)
APPLETS = (
    "sh cat echo true false ls id mount mkdir sleep grep hostname ln rm cp mv kill ps stty tty stat readlink touch chmod "
    "mkfifo test umount wc head env seq nice"
)
DEV = [
    Mount(destination="/proc", type="proc", source="proc"),
    Mount(destination="/dev", type="tmpfs", source="tmpfs", options=["nosuid", "mode=755", "size=64k"]),
    Mount(
        destination="/dev/pts",
        type="devpts",
        source="devpts",
        options=["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
    ),
]


@pytest.fixture(scope="session")
def busybox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose root is Debian's static busybox; for tests that write nothing into it."""
    bundle = tmp_path_factory.mktemp("busybox")
    fill(bundle)
    return bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """The same, to be spoiled by one test."""
    made = tmp_path / "bundle"
    made.mkdir()
    fill(made)
    return made


def fill(bundle: Path) -> None:
    root = bundle / "rootfs"
    for name in ("bin", "dev", "proc", "sys", "tmp", "etc"):
        (root / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", root / "bin/busybox")
    for name in APPLETS.split():
        os.symlink("busybox", root / "bin" / name)
    for directory in (bundle, *bundle.parents):
        if Path(tempfile.gettempdir()) in directory.parents:
            directory.chmod(0o755)  # a user namespace's root has to reach it


def make_spec(*args: str, new: str = "pid mount uts ipc network", **more: Any) -> Spec:
    """A spec with all capabilities; ``more`` goes to ``linux``, or with the prefix ``process_`` to the process."""
    process = {k.removeprefix("process_"): more.pop(k) for k in list(more) if k.startswith("process_")}
    mounts = more.pop("mounts", [])
    process.setdefault("capabilities", Capabilities(bounding=ALL, effective=ALL, permitted=ALL))
    process.setdefault("user", User())
    process.setdefault("cwd", "/")
    return Spec(
        oci_version="1.2.0",
        root=Root(path="rootfs"),
        process=Process(args=list(args), env=["PATH=/bin"], **process),
        mounts=[*DEV, *mounts],
        linux=Linux(namespaces=[Namespace(type=kind) for kind in new.split()], **more),
    )


class Box:
    """A runtime with its own state directory and containers that are removed afterwards."""

    def __init__(self, root: Path, bundle: Path) -> None:
        self.runtime = Runtime(str(root))
        self.bundle = str(bundle)

    def id(self) -> str:
        return f"t-{uuid.uuid4().hex[:12]}"

    def run(self, spec: Spec, **more: Any) -> tuple[int, str]:
        """Run to the end: exit status and all output."""
        out = os.memfd_create("out")
        try:
            bundle = more.pop("bundle", self.bundle)
            container = self.runtime.run(
                RunRequest(self.id(), spec, bundle, stdio=Stdio(-1, out, out), **more)
            )
            status = container.wait()
            container.delete()
            return status, os.pread(out, 1 << 20, 0).decode()
        finally:
            os.close(out)

    def sh(self, script: str, **more: Any) -> tuple[int, str]:
        """Run a shell script with :func:`make_spec`'s further arguments."""
        return self.run(make_spec("sh", "-c", script, **more))

    def start(self, *args: str, **more: Any) -> Container:
        """Start something that goes on."""
        spec = make_spec(*args, **more)
        return self.runtime.run(RunRequest(self.id(), spec, self.bundle, stdio=Stdio(-1, -1, 2)))

    def clear(self) -> None:
        for container in self.runtime.list():
            container.delete(force=True)


@pytest.fixture
def box(tmp_path: Path, busybox: Path) -> Iterator[Box]:
    made = Box(tmp_path / "state", busybox)
    yield made
    made.clear()


@pytest.fixture
def own_box(tmp_path: Path, bundle: Path) -> Iterator[Box]:
    """A box whose root the test may spoil."""
    made = Box(tmp_path / "state", bundle)
    yield made
    made.clear()


@pytest.fixture
def spec() -> Callable[..., Spec]:
    return make_spec


@pytest.fixture
def reason() -> Callable[[Callable[[], object]], str]:
    """The reason with which a call is refused; a call that succeeds fails the test."""

    def call(function: Callable[[], object]) -> str:
        with pytest.raises(LadingError) as caught:
            function()
        return caught.value.reason

    return call
