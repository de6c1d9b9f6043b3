"""The metadata service of a pod: a companion that finds in the pod's own record for whom it answers.

Its token, and the image manifests that it tells, are an annotation; so they are there as long as the pod is. The key that its
signatures are made with is one file of the root, ``rocket/hmac.key``: any pod here can verify what another one signed.
"""

from __future__ import annotations

import binascii
import os
import sys

from lading.errors import Corrupt, InvalidInput, LadingError, Unsupported
from lading.formats import jsontext
from lading.formats.appc.environ import METADATA_URL
from lading.formats.appc.image import ImageManifest
from lading.formats.appc.metadata import Service
from lading.formats.appc.pod import PodManifest
from lading.rocket.rkt import pods

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lading.formats.pod import Pod
    from lading.node import PodRecord
    from lading.rocket.rkt.appimages import AppImage

_NAME = "metadata"
_KEY_BYTES = 64
_LARGEST = 128 << 10


def give(pod: Pod, uuid: str, manifest: PodManifest, images: Mapping[str, AppImage]) -> None:
    """Give a pod that is not recorded yet its service. Raises :class:`Unsupported` for image manifests that are too large."""
    from lading.formats.pod import Companion

    token = os.urandom(32).hex()
    originals = {app.name: images[app.image.id].original for app in manifest.apps}
    text = jsontext.dumps(
        {"token": token, "images": {name: _base64(data) for name, data in originals.items()}}
    )
    if len(text) > _LARGEST:
        raise Unsupported(
            f"pod {uuid}: its image manifests are larger than the metadata service keeps",
            hint="run it without --mds-register",
        )
    pod.metadata.annotations[pods.METADATA] = text
    command = [sys.executable, "-I", "-S", "-c", _program(), pods.name_of(uuid)]
    url = f"http://{{address}}/{token}"
    made = Companion(name=_NAME, command=command, env={METADATA_URL: url}, ready=True)
    pod.spec.extras.companions.append(made)


def _program() -> str:
    """:func:`lading.rocket.metadata.main` for an interpreter that does nothing first: half of a start is site's and runpy's."""
    import lading

    home = os.path.dirname(os.path.dirname(os.path.abspath(lading.__file__)))
    return (
        f"import sys; sys.path.insert(0, {home!r}); from lading import start; start.serve('service'); "
        "from lading.rocket.metadata import main; sys.exit(main())"
    )


def has_service(pod: Pod) -> bool:
    """Whether the pod has one already."""
    return pods.METADATA in pod.metadata.annotations


def _base64(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).decode()


def join(member: Pod, image: AppImage) -> None:
    """Let the service of the pod that ``member`` joins tell of its app, too."""
    member.metadata.annotations[pods.METADATA] = _base64(image.original)


def recorded(name: str, *, added: bool = False) -> Service:
    """The service of the pod that the engine calls ``name``, on the roots of this process's environment.

    ``added``: with the apps that were added to it since. Raises :class:`NotFound`, and as :func:`service_of`.
    """
    from lading.node.records import Records
    from lading.roots import Roots

    roots = Roots.default()
    records = Records(roots.database)
    try:
        record = records.resolve(name)[0]
        members: list[PodRecord] = []
        if added:
            from lading.node.records import LIVE
            from lading.rocket.rkt import seen

            members = seen.members_of(record, records.list(stages=(LIVE,)))
        return service_of(record, key(roots.data), members)
    finally:
        records.database.close()


def service_of(record: PodRecord, key: bytes, members: Sequence[PodRecord] = ()) -> Service:
    """The service of a recorded pod, and of those that joined it. Raises :class:`Corrupt`, :class:`InvalidInput`."""
    annotations = record.pod.metadata.annotations
    what = f"pod {record.name}"
    if pods.METADATA not in annotations or pods.MANIFEST not in annotations:
        raise InvalidInput(f"{what} has no metadata service")
    found = jsontext.loads(annotations[pods.METADATA], what=what)
    try:
        originals = {name: binascii.a2b_base64(text) for name, text in found["images"].items()}
        token = str(found["token"])
        manifest = PodManifest.parse(annotations[pods.MANIFEST], what=f"{what}: manifest")
        for member in members:
            from lading.rocket.rkt import seen

            app = seen.added_app(member)
            originals[app.name] = binascii.a2b_base64(member.pod.metadata.annotations[pods.METADATA])
            manifest.apps.append(app)
    except (KeyError, TypeError, AttributeError, ValueError):
        raise Corrupt(f"{what}: what its metadata service is to answer is broken") from None
    return Service(
        token=token,
        uuid=record.pod.metadata.labels[pods.UUID],
        key=key,
        manifest=manifest,
        images={name: ImageManifest.parse(data, what=f"{what}: {name}") for name, data in originals.items()},
        originals=originals,
    )


def key(root: str) -> bytes:
    """The key of this root (:attr:`lading.roots.Roots.data`), made when there is none yet. Raises :class:`LadingError`."""
    import fcntl

    directory = f"{root}/rocket"
    path = f"{directory}/hmac.key"
    try:
        found = _read(path)
        if found is not None:
            return found
        os.makedirs(directory, 0o700, exist_ok=True)
        lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            found = _read(path)
            if found is not None:
                return found
            made = os.urandom(_KEY_BYTES)
            # A name that is always the same: what somebody was killed at writing is written again.
            fd = os.open(
                path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
            )
            try:
                os.write(fd, made)
                os.fsync(fd)
            finally:
                os.close(fd)
            os.rename(path + ".new", path)
            return made
        finally:
            os.close(lock)
    except OSError as error:
        raise LadingError(f"the key of the metadata service, {path}: {error.strerror}", reason="io") from None


def _read(path: str) -> bytes | None:
    try:
        with open(path, "rb") as stream:
            data = stream.read(_KEY_BYTES + 1)
    except FileNotFoundError:
        return None
    if len(data) != _KEY_BYTES:
        raise Corrupt(
            f"{path} is not a key of the metadata service",
            hint="remove it, and pods no longer know each other's signatures",
        )
    return data
