"""Base images: from the words of a FROM or ``--from`` to an image that is here, fetched when it has to be."""

from __future__ import annotations

from lading.build.graph import ImageOp
from lading.errors import NotFound
from lading.formats import platform as platforms
from lading.formats.oci_image import ImageConfig, RunConfig
from lading.images import snapshots

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.build.progress import Progress
    from lading.formats.oci_image import Descriptor, Platform
    from lading.images import Image, Images
    from lading.images.leases import Lease
    from lading.images.source import Source
    from lading.images.transfer import Progress as Transfer
    from lading.roots import Roots


class Base:
    """An image that a stage begins with or takes files of. ``blobs``: its layers' by diff-id; ``digest``: its manifest's."""

    __slots__ = ("blobs", "config", "digest", "op", "reference")

    def __init__(
        self, reference: str, digest: str, config: ImageConfig, op: ImageOp, blobs: dict[str, Descriptor]
    ) -> None:
        self.reference = reference
        self.digest = digest
        self.config = config
        self.op = op
        self.blobs = blobs


class Bases:
    """The images of one build; each is looked up, and fetched where it must be, once for a platform."""

    def __init__(
        self,
        images: Images,
        lease: Lease,
        progress: Progress,
        *,
        roots: Roots,
        pull: bool,
        never: bool = False,
    ) -> None:
        self._images = images
        self._lease = lease
        self._progress = progress
        self._pull = pull
        self._never = never
        self._roots = roots
        self._known: dict[tuple[str, str], Base] = {}

    def get(self, reference: str, platform: Platform) -> Base:
        """The image. Raises what the image store raises for one that neither is here nor can be fetched."""
        wanted = platforms.text(platform)
        key = reference, wanted
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._resolved(reference, wanted)
        return found

    def _resolved(self, reference: str, platform: str) -> Base:
        images = self._images
        image = None
        if not self._pull:
            try:
                image = images.get(reference, platform)
            except NotFound as error:
                if self._never:
                    raise NotFound(
                        f"the image {reference!r} is not here, and --pull=never fetches none",
                        hint=error.hint,
                        reason=error.reason,
                    ) from None
            else:
                self._check_policy(reference, image)
        if image is None:
            from lading.images.pull import PullOptions

            self._progress.phase(f"pull {reference}", "started")
            image = images.pull(
                reference,
                platform=platform,
                options=PullOptions(config=self._roots.config),
                progress=transferring(self._progress, f"pull {reference}"),
            )
            self._progress.phase(f"pull {reference}", "done")
        sources: list[Source] = snapshots.of_image(images, image, lease=self._lease)
        op = ImageOp(diff_ids=[source.diff_id for source in sources])
        blobs = {source.diff_id: source.blob for source in sources}
        return Base(reference, image.digest, image.config, op, blobs)

    def _check_policy(self, reference: str, image: Image) -> None:
        """Raise :class:`Denied` where the policy for images does not accept this one."""
        policy = self._roots.policy
        if policy:
            from lading.images.signing import gate

            gate.using(self._images, reference, image, policy)


def scratch(platform: Platform) -> Base:
    """The empty image, with the words that Docker gives it."""
    run = RunConfig(env=[PATH] if platform.os != "windows" else [], working_dir="/")
    config = ImageConfig(
        os=platform.os, architecture=platform.architecture, variant=platform.variant, config=run
    )
    return Base("scratch", "", config, ImageOp(), {})


def transferring(progress: Progress, phase: str) -> Transfer:
    """What a pull or a push tells, as a phase of the build."""
    from lading.images import transfer

    class Transferring(transfer.Progress):
        def __init__(self) -> None:
            self._layers: dict[str, tuple[int, int]] = {}

        def layer(self, digest: str, state: str, done: int, total: int) -> None:
            self._layers[digest] = max(done, 0), max(total, 0)
            rows = list(self._layers.values())
            progress.phase(phase, state, sum(done for done, _ in rows), sum(total for _, total in rows))

        def say(self, text: str) -> None:
            progress.warn(text)

    return Transferring()
