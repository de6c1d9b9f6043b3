"""The busybox image: one static binary and a link for each of its applets. Source: Debian's package busybox-static."""

from __future__ import annotations

import os
import subprocess

from lading.errors import NotFound
from lading.formats import platform as platforms
from lading.formats.oci_image import History, ImageConfig, RunConfig
from lading.formats.reference import Reference
from lading.images.make import rfc3339, source_date
from lading.images.newlayer import OwnLayer
from lading.images.register import create
from lading.images.tarentry import DIRECTORY, HARDLINK, REGULAR, SYMLINK, Entry
from lading.images.tarwrite import TarWriter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lading.images import Images
    from lading.images.image import Image

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_FILES = {
    b"etc/passwd": b"root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/bin/false\n"
    b"nobody:x:65534:65534:nobody:/home:/bin/false\n",
    b"etc/group": b"root:x:0:\ndaemon:x:1:\nmail:x:8:\nwww-data:x:33:\nusers:x:100:\nnogroup:x:65534:\n",
    b"etc/shadow": b"root:*:::::::\ndaemon:*:::::::\nnobody:*:::::::\n",
    b"etc/nsswitch.conf": b"passwd: files\ngroup: files\nhosts: files dns\n",
}
_DIRECTORIES = {
    b"bin": 0o755,
    b"dev": 0o755,
    b"etc": 0o755,
    b"home": 0o755,
    b"proc": 0o755,
    b"root": 0o700,
    b"sys": 0o755,
    b"tmp": 0o1777,
    b"usr": 0o755,
    b"var": 0o755,
    b"var/spool": 0o755,
    b"var/www": 0o755,
}


def bootstrap_busybox(images: Images, reference: Reference, progress: Callable[[str], None]) -> Image:
    """Make the image from the installed package, or from one that apt downloads."""
    path, applets = _binary(progress)
    with open(path, "rb") as file:
        binary = file.read()
    # The package's own time: the same package gives the same image, and one that says how old it is.
    time = source_date(int(os.stat(path).st_mtime))
    with images.lease() as lease, OwnLayer(images, lease=lease) as layer:
        tar = TarWriter(layer.write)
        _write(tar, binary, applets, time * 1_000_000_000)
        tar.close()
        descriptor, diff_id = layer.finish()
        host = platforms.host()
        config = ImageConfig(
            created=rfc3339(time),
            os=host.os,
            architecture=host.architecture,
            variant=host.variant,
            config=RunConfig(env=[PATH], cmd=["sh"]),
            history=[History(created=rfc3339(time), created_by="lading bootstrap busybox")],
        )
        return create(images, config, [descriptor], [diff_id], [reference.canonical], lease=lease)


def _write(tar: TarWriter, binary: bytes, applets: list[str], time: int) -> None:
    tar.add(Entry(b"./", DIRECTORY, mode=0o755, mtime=time))
    for name, mode in sorted(_DIRECTORIES.items()):
        tar.add(Entry(name, DIRECTORY, mode=mode, mtime=time))
    tar.add(Entry(b"bin/busybox", REGULAR, mode=0o755, size=len(binary), mtime=time))
    tar.data(binary)
    for applet in sorted(applets):
        if applet != "busybox":
            tar.add(
                Entry(b"bin/" + applet.encode(), HARDLINK, mode=0o755, mtime=time, linkname=b"bin/busybox")
            )
    for name, content in sorted(_FILES.items()):
        mode = 0o600 if name == b"etc/shadow" else 0o644
        tar.add(Entry(name, REGULAR, mode=mode, size=len(content), mtime=time))
        tar.data(content)
    for name, target in ((b"sbin", b"bin"), (b"usr/bin", b"../bin"), (b"usr/sbin", b"../bin")):
        tar.add(Entry(name, SYMLINK, mode=0o777, mtime=time, linkname=target))


def _binary(progress: Callable[[str], None]) -> tuple[str, list[str]]:
    for path in ("/bin/busybox", "/usr/bin/busybox"):
        if os.path.exists(path) and _is_static(path):
            return path, _applets(path)
    raise NotFound("busybox-static is not installed", hint="apt-get install busybox-static")


def _is_static(path: str) -> bool:
    """Whether an ELF file has no PT_INTERP segment."""
    with open(path, "rb") as file:
        head = file.read(4096)
    if head[:4] != b"\x7fELF":
        return False
    order = "little" if head[5] == 1 else "big"
    wide = head[4] == 2

    def number(offset: int, size: int) -> int:
        return int.from_bytes(head[offset : offset + size], order)  # type: ignore[arg-type]

    start = number(32, 8) if wide else number(28, 4)
    size, count = (number(54, 2), number(56, 2)) if wide else (number(42, 2), number(44, 2))
    return all(number(start + i * size, 4) != 3 for i in range(count))


def _applets(path: str) -> list[str]:
    made = subprocess.run([path, "--list"], check=True, stdout=subprocess.PIPE, text=True)
    return [
        name
        for name in made.stdout.split()
        if name.replace("-", "").replace("_", "").replace("[", "").isalnum() or name in ("[", "[[")
    ]
