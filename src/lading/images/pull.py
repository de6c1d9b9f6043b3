"""Pulling: from a reference to an unpacked image, every byte looked at once.

Each layer is one pipeline (:class:`lading.images.layers.LayerSink`): socket → digest ‖ decompress → diff-id ‖ extract,
several layers at once. What arrived stays when a pull is interrupted, and the next one continues there.
"""

from __future__ import annotations

from lading.errors import Corrupt, Exhausted, LadingError, NotFound, Unsupported
from lading.formats import digest as digests
from lading.formats import jsontext
from lading.formats import platform as platforms
from lading.formats.oci_image import INDEXES, Descriptor, ImageConfig, Manifest, Platform
from lading.formats.reference import Reference
from lading.images import auth
from lading.images.oci import MAX_CONFIG, choose_from, decode_config, decode_index, decode_manifest
from lading.images.remote import FetchedManifest, Remote
from lading.images.remote_config import Registries
from lading.images.remote_http import STALL_SECONDS, Cancel
from lading.images.source import Source
from lading.images.transfer import WAITING, Download, Progress, run_parallel
from lading.roots import Roots

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lading.images import Image, Images
    from lading.images.auth import Credentials
    from lading.images.leases import Lease
    from lading.images.signing.gate import PullGate

PARALLEL = 4
_NESTED = 4


class PullOptions:
    """How to reach registries, and how much to fetch; the same for pushes.

    ``config``         directory with ``registries.json`` and ``certs.d`` (default: the roots' configuration directory).
    ``insecure``       accept plain HTTP and unverified TLS, this time.
    ``credentials``    instead of what the user's files say.
    ``parallel``       layers at once.
    ``stall``          seconds of silence after which a connection is given up.
    ``all_platforms``  fetch every platform of an index, to push it on; only one is unpacked.
    """

    __slots__ = ("all_platforms", "config", "credentials", "environ", "insecure", "parallel", "stall")

    def __init__(
        self,
        *,
        config: str = "",
        insecure: bool = False,
        credentials: Credentials | None = None,
        parallel: int = PARALLEL,
        stall: float = STALL_SECONDS,
        all_platforms: bool = False,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.config = config
        self.insecure = insecure
        self.credentials = credentials
        self.parallel = parallel
        self.stall = stall
        self.all_platforms = all_platforms
        self.environ = environ

    def registries(self) -> Registries:
        """The configuration to use."""
        if self.config:
            return Registries(self.config)
        return Registries(Roots.default().config)


def remotes(
    reference: Reference, options: PullOptions, cancel: Cancel, *, actions: str = "pull"
) -> list[Remote]:
    """The endpoints for a reference's repository, in the order to ask. Raises :class:`InvalidInput`, :class:`Denied`."""
    registries = options.registries()
    found = []
    for endpoint in registries.endpoints(
        reference.registry, insecure=options.insecure, push=actions != "pull"
    ):
        # The registry's credentials are not its mirrors': a mirror has its own, or none.
        account = endpoint.host if endpoint.mirror else reference.registry
        credentials = None if endpoint.mirror else options.credentials
        if credentials is None:
            credentials = auth.find(account, reference.repository, options.environ)
        found.append(
            Remote(
                endpoint,
                registries,
                reference.repository,
                actions=actions,
                credentials=credentials,
                cancel=cancel,
                stall=options.stall,
                environ=options.environ,
            )
        )
    return found


def pull(
    images: Images,
    reference: str,
    *,
    platform: str = "",
    options: PullOptions | None = None,
    progress: Progress | None = None,
) -> Image:
    """Fetch ``reference`` for ``platform`` ("" is this machine's), unpack it and give it its name.

    Raises :class:`InvalidInput`, :class:`NotFound` (also reason ``platform``), :class:`Denied` (also by the policy for images,
    before any layer is fetched), :class:`RemoteError`, :class:`TimedOut`, :class:`Corrupt`, :class:`Exhausted`. An interrupted
    pull leaves nothing but what the next continues.
    """
    parsed = Reference.parse(reference)
    cancel = Cancel()
    options = options or PullOptions()
    with images.lease() as lease:
        session = _Pull(images, lease, parsed, platform, options, progress or Progress(), cancel)
        try:
            return session.run()
        except KeyboardInterrupt:
            cancel.pull()
            raise
        finally:
            session.close()


class _Pull:
    def __init__(
        self,
        images: Images,
        lease: Lease,
        reference: Reference,
        platform: str,
        options: PullOptions,
        progress: Progress,
        cancel: Cancel,
    ) -> None:
        self._images = images
        self._lease = lease
        self._reference = reference
        self._asked = platform
        self._wanted = platforms.parse(platform)
        self._options = options
        self._progress = progress
        self._cancel = cancel
        self._remotes = remotes(reference, options, cancel)
        self._complete: set[str] = set()  # indexes of which everything was fetched

    def close(self) -> None:
        for remote in self._remotes:
            remote.close()

    def run(self) -> Image:
        gate = self._gate()
        target = self._top()
        chosen = self._choose(target)
        if gate is not None:
            # An index that is signed vouches for what it names. A platform's own signature speaks for that platform alone.
            manifests = [target.digest] if self._options.all_platforms else [target.digest, chosen.digest]
            gate.check(self._remotes, manifests)
        manifest, config = self._image(chosen)
        self._check_platform(config, target)
        self._layers(manifest, config)
        if self._options.all_platforms and target.media_type in INDEXES:
            self._everything(target, 0)
        return self._images.register(
            target,
            [self._reference.canonical],
            lease=self._lease,
            platform=platforms.text(self._wanted),
            pulled=True,
        )

    def _gate(self) -> PullGate | None:
        """What the policy for images asks of this one; None where there is no policy."""
        roots = Roots.default()
        if self._options.config:
            roots = Roots(roots.data, roots.run, self._options.config, roots.uid)
        if not roots.policy:
            return None
        from lading.images.signing import gate

        return gate.pulling(self._images, self._reference, roots.policy)

    # --- manifests --------------------------------------------------------------------------------------------------

    def _top(self) -> Descriptor:
        """What the reference names, from the first endpoint that has it; that endpoint comes first from now on."""
        for number, remote in enumerate(self._remotes):
            try:
                found = remote.manifest(self._reference.target)
            except LadingError as error:
                self._cancel.check()
                if number + 1 == len(self._remotes):
                    raise
                self._progress.say(f"mirror {remote.endpoint.host}: {error.message}")
                continue
            self._remotes.insert(0, self._remotes.pop(number))
            return self._keep(found)
        raise NotFound(f"no endpoint for {self._reference}")

    def _manifest(self, descriptor: Descriptor) -> Descriptor:
        """Fetch the manifest or index of ``descriptor`` unless it is here."""
        digests.check(descriptor.digest)
        self._lease.add(descriptor.digest)
        if self._images.content.has(descriptor.digest):
            return descriptor
        found = self._ask(descriptor.digest)
        if found.media_type != descriptor.media_type:
            raise Corrupt(
                f"manifest {descriptor.digest}: is {found.media_type!r} where its index says {descriptor.media_type[:100]!r}",
                reason="content-type",
            )
        if len(found.data) != descriptor.size:
            raise Corrupt(
                f"manifest {descriptor.digest}: has {len(found.data)} bytes where its index says {descriptor.size}",
                reason="size-mismatch",
            )
        self._keep(found)
        return descriptor

    def _ask(self, digest: str) -> FetchedManifest:
        """The manifest ``digest`` from the first endpoint that has it."""
        for remote in self._remotes[:-1]:
            try:
                return remote.manifest(digest)
            except LadingError as error:
                self._cancel.check()
                self._progress.say(f"{remote.endpoint.host}: {error.message}")
        return self._remotes[-1].manifest(digest)

    def _keep(self, found: FetchedManifest) -> Descriptor:
        digest = self._images.content.put(
            found.data, lease=self._lease, algorithm=found.digest.partition(":")[0]
        )
        return Descriptor(media_type=found.media_type, digest=digest, size=len(found.data))

    def _read(self, descriptor: Descriptor) -> bytes:
        return self._images.content.read(descriptor.digest)

    def _choose(self, target: Descriptor) -> Descriptor:
        """The manifest for the wanted platform, fetched."""
        chosen = target
        for _ in range(_NESTED):
            if chosen.media_type not in INDEXES:
                return chosen
            index = decode_index(self._read(chosen), chosen.digest)
            chosen = self._manifest(choose_from(index, self._wanted, chosen.digest))
        raise Unsupported(f"index {target.digest} is nested more than {_NESTED} deep")

    def _image(self, chosen: Descriptor) -> tuple[Manifest, ImageConfig]:
        manifest = decode_manifest(self._read(chosen), chosen.digest)
        if manifest.config.size > MAX_CONFIG:
            raise Corrupt(
                f"manifest {chosen.digest}: a configuration of {manifest.config.size} bytes is too large"
            )
        self._blob(manifest.config)
        return manifest, decode_config(self._images.content.read(manifest.config.digest), manifest)

    def _check_platform(self, config: ImageConfig, target: Descriptor) -> None:
        """An image that is no choice from an index may be for another machine: refused when a platform was asked for."""
        if target.media_type in INDEXES or not config.architecture:
            return
        offered = Platform(os=config.os, architecture=config.architecture, variant=config.variant)
        if platforms.rank(offered, self._wanted) is not None:
            return
        have, want = platforms.text(offered), platforms.text(self._wanted)
        if self._asked:
            raise NotFound(
                f"image {self._reference.familiar} is for {have}, not for {want}", reason="platform"
            )
        self._progress.say(f"{self._reference.familiar} is for {have}; this machine is {want}")

    # --- blobs ------------------------------------------------------------------------------------------------------

    def _layers(self, manifest: Manifest, config: ImageConfig) -> None:
        store, content = self._images.layers, self._images.content
        jobs: list[Callable[[], None]] = []
        seen: set[str] = set()
        for layer, diff_id in zip(manifest.layers, config.rootfs.diff_ids, strict=True):
            if layer.digest in seen:
                continue
            seen.add(layer.digest)
            source = Source(layer, diff_id)
            self._progress.layer(layer.digest, WAITING, 0, layer.size)

            def job(source: Source = source) -> None:
                blob = source.blob
                download = Download(self._remotes, blob.digest, blob.size, self._progress, blob.urls)
                download.run(lambda: store.receive(content, source, lease=self._lease))

            jobs.append(job)
        try:
            run_parallel(jobs, self._options.parallel, self._cancel)
        except Exhausted:
            # Elsewhere it would be kept for the next attempt; here it is what fills the disk.
            for digest in seen:
                content.drop_partial(digest)
            raise

    def _blob(self, descriptor: Descriptor) -> None:
        """Fetch a blob that is only stored (a configuration, another platform's layer)."""
        content = self._images.content
        self._lease.add(descriptor.digest)
        download = Download(self._remotes, descriptor.digest, descriptor.size, Progress(), descriptor.urls)
        download.run(
            lambda: (
                None
                if content.has(descriptor.digest)
                else content.ingest(descriptor.digest, descriptor.size, lease=self._lease)
            )
        )

    def _everything(self, target: Descriptor, depth: int) -> None:
        """All platforms of an index: manifests, configurations and layers, stored but not unpacked."""
        if depth >= _NESTED:
            raise Unsupported(f"index {target.digest} is nested more than {_NESTED} deep")
        if target.digest in self._complete:
            return
        self._complete.add(target.digest)
        blobs: dict[str, Descriptor] = {}
        for entry in decode_index(self._read(target), target.digest).manifests:
            self._manifest(entry)
            if entry.media_type in INDEXES:
                self._everything(entry, depth + 1)
                continue
            # Attestations and other artifacts in an index are not images; they are carried along as they are.
            value = jsontext.loads(self._read(entry), what=f"manifest {entry.digest}")
            manifest = Manifest.decode(value, where=f"manifest {entry.digest}", strict=False)
            for descriptor in (manifest.config, *manifest.layers):
                digests.check(descriptor.digest)
                blobs.setdefault(descriptor.digest, descriptor)
        jobs = [lambda d=d: self._blob(d) for d in blobs.values()]
        run_parallel(jobs, self._options.parallel, self._cancel)
