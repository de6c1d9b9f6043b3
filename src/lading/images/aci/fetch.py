"""Bringing images into the store from where their names lead: page, signature, archive, ``gpgv``, and only then the store.

What an image depends on is fetched first, by the same rules: its own name chooses the keys that may sign it. Whatever fails,
nothing is stored but a part of an archive that the next attempt goes on from.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager

from lading.errors import Denied, InvalidInput, LadingError, NotFound
from lading.formats.appc.image import Dependency, ImageManifest
from lading.formats.appc.labels import mapping, platform_labels
from lading.formats.appc.source import FILE, NAME, URL, Source
from lading.formats.appc.values import image_id_of
from lading.formats.appc.wanted import Wanted
from lading.formats.openpgp import LARGEST as LARGEST_KEYS
from lading.formats.platform import host
from lading.images.aci.archive import examine, manifest_of, pieces_of
from lading.images.aci.discover import Discovery, Pages
from lading.images.aci.download import LARGEST, Partial, download, pieces
from lading.images.aci.finding import candidates
from lading.images.aci.receive import check_name, receive
from lading.images.aci.trust import TrustStore, read_keys
from lading.images.aci.web import Web
from lading.images.files import OwnFile, disk_error, read
from lading.images.openpgp import LARGEST_SIGNATURE, signature_packets, verify
from lading.images.remote_http import STALL_SECONDS
from lading.images.transfer import DONE, Progress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lading.formats.openpgp_packets import Key
    from lading.images import Images
    from lading.images.image import Image

NEVER, MISSING, ALWAYS = "never", "missing", "always"
_DEEPEST = 64
_MOST = 400


class FetchOptions:
    """How images are fetched.

    ``config``     the configuration directory: ``certs.d`` and ``auth.d``.
    ``trust``      whose signatures count.
    ``pull``       ``never``, ``missing`` or ``always``: whether what is here already is enough.
    ``unsigned``   signatures are not looked at. ``http``: plain HTTP is accepted. ``tls``: certificates are verified.
    ``signature``  where the signature of a file or URL is, when it is not beside it.
    ``port``       of discovery pages, 0 for the usual one.
    ``trusting``   where no key may sign an image, those that its page names are trusted for its name, without asking.
    ``any_keys``   these may come over plain HTTP and from hosts without a good certificate.
    """

    def __init__(
        self,
        config: str,
        trust: TrustStore,
        *,
        pull: str = MISSING,
        unsigned: bool = False,
        http: bool = False,
        tls: bool = True,
        signature: str = "",
        port: int = 0,
        trusting: bool = False,
        any_keys: bool = False,
        stall: float = STALL_SECONDS,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.config = config
        self.trust = trust
        self.pull = pull
        self.unsigned = unsigned
        self.http = http
        self.tls = tls
        self.signature = signature
        self.port = port
        self.trusting = trusting
        self.any_keys = any_keys
        self.stall = stall
        self.environ = environ


def fetch(images: Images, source: Source, options: FetchOptions, progress: Progress | None = None) -> Image:
    """The image that ``source`` (a name, a URL or a file) leads to, with all that it depends on.

    Raises :class:`NotFound` (``no-discovery``), :class:`Denied` (``no-trusted-key``, ``no-signature``, and as
    :func:`lading.images.openpgp.verify`), :class:`InvalidInput` (``other-name``, ``dependency-loop``, and as
    :func:`lading.images.aci.receive.receive`), :class:`RemoteError`, :class:`TimedOut`, :class:`Exhausted`.
    """
    with Web(
        options.config, http=options.http, tls=options.tls, stall=options.stall, environ=options.environ
    ) as web:
        session = _Fetch(images, web, options, progress or Progress())
        if source.kind == NAME and source.wanted is not None:
            return session.named(source.wanted)
        if source.kind == URL:
            return session.at(source.text)
        if source.kind == FILE:
            return session.file(source.text)
    raise InvalidInput(f"{source.text}: only names, URLs and files are fetched here")


class _Fetch:
    def __init__(self, images: Images, web: Web, options: FetchOptions, progress: Progress) -> None:
        self._images = images
        self._web = web
        self._options = options
        self._progress = progress
        self._discovery = Discovery(
            web, time.time(), kept=Pages(images.root + "/discovery"), port=options.port
        )
        self._here = platform_labels(host())
        self._brought: dict[tuple[str, str], Image] = {}

    # --- where from -------------------------------------------------------------------------------------------------

    def named(self, asked: Wanted) -> Image:
        """An image by its name, from here or by discovery."""
        if self._options.signature:
            raise InvalidInput("a name's page says where its signature is", hint="give a URL or a file")
        return self._named(asked, Dependency(image_name=asked.name), ())

    def at(self, url: str) -> Image:
        """An image by its URL."""
        signature = b"" if self._options.unsigned else self._signature(self._beside(url), url)
        with Partial(self._images.root + "/ingest", url) as partial:
            download(self._web, partial, self._progress, what=url)
            with self._used_up(partial):
                return self._kept(partial.fd, url, signature, None, None, ())

    def file(self, path: str) -> Image:
        """An image in a file."""
        signature = b"" if self._options.unsigned else self._signature(self._beside(path), path)
        # A copy: what was checked must be what is unpacked, whoever writes to the file meanwhile.
        copy = OwnFile(self._images.root + "/ingest", "web.")
        try:
            for piece in pieces_of(path):
                copy.write(piece)
            return self._kept(copy.fd, path, signature, None, None, ())
        except OSError as error:
            raise disk_error(error, f"cannot store {path}") from None
        finally:
            copy.drop()

    def _beside(self, place: str) -> str:
        return self._options.signature or f"{place}.asc"

    def _signature(self, place: str, what: str) -> bytes:
        """A signature file. One that is missing is a signature that is missing."""
        try:
            if "://" in place:
                return self._web.read(place, LARGEST_SIGNATURE, what=f"signature of {what}")
            data = read(place)
        except NotFound:
            data = None
        except OSError as error:
            raise disk_error(error, f"cannot read {place}") from None
        if data is None:
            raise Denied(f"{what}: there is no signature at {place}", reason="no-signature")
        return data

    # --- by name ----------------------------------------------------------------------------------------------------

    def _named(self, asked: Wanted, dependency: Dependency, above: tuple[str, ...]) -> Image:
        """The image of a name, for the images ``above`` it that depend on it."""
        text = str(asked)
        if text in above or len(above) > _DEEPEST:
            raise InvalidInput(
                f"image {above[0]}: its dependencies have no end: {' → '.join((*above[-3:], text))}",
                reason="dependency-loop",
            )
        brought = self._brought.get((text, dependency.image_id))
        if brought is not None:
            return brought
        if len(self._brought) >= _MOST:
            raise InvalidInput(f"image {above[0]}: it depends on more than {_MOST} images", reason="too-many")
        found = None if self._options.pull == ALWAYS else self._local(asked, dependency)
        if found is None:
            if self._options.pull == NEVER:
                raise NotFound(f"image {text} is not here, and is not to be fetched")
            found = self._discovered(asked, dependency, above)
        self._brought[text, dependency.image_id] = found
        return found

    def _local(self, asked: Wanted, dependency: Dependency) -> Image | None:
        for alias in candidates(self._images, asked):
            image = self._images.resolved.get(alias.target.digest)
            if image is not None and dependency.image_id in ("", image_id_of(image.id)):
                return image
        return None

    def _discovered(self, asked: Wanted, dependency: Dependency, above: tuple[str, ...]) -> Image:
        keys = self._keys(asked.name)
        missing: list[LadingError] = []
        for endpoint in self._discovery.endpoints(asked.with_defaults(self._here)).endpoints:
            self._progress.say(f"{asked}: from {endpoint.aci}")
            with Partial(self._images.root + "/ingest", endpoint.aci) as partial:
                try:
                    signature = self._signature(endpoint.signature, str(asked)) if keys is not None else b""
                    limit = dependency.size or LARGEST
                    download(self._web, partial, self._progress, what=str(asked), limit=limit)
                except NotFound as error:
                    missing.append(error)
                    continue
                except Denied as error:
                    if error.reason not in ("no-signature", "plain-http"):
                        raise
                    missing.append(error)
                    continue
                with self._used_up(partial):
                    return self._kept(partial.fd, str(asked), signature, asked, dependency, above, keys)
        # Where there is an image, and only no signature or no https, that is what is wrong.
        worst = next((error for error in missing if isinstance(error, Denied)), missing[0])
        raise worst

    def _keys(self, name: str) -> list[Key] | None:
        """The keys for a name, None when signatures are not to be looked at."""
        if self._options.unsigned:
            return None
        keys = self._options.trust.trusted(name)
        if not keys and self._options.trusting:
            keys = self._trust(name)
        if not keys:
            raise Denied(
                f"image {name}: no key is trusted to sign it",
                hint=f"`lading trust --prefix {name}`",
                reason="no-trusted-key",
            )
        return keys

    def _trust(self, name: str) -> list[Key]:
        """Trust the keys that the page of ``name`` names. They come over HTTPS even where the image itself need not."""
        options = self._options
        anyhow = options.any_keys
        with Web(
            options.config, http=anyhow, tls=not anyhow, stall=options.stall, environ=options.environ
        ) as web:
            for source in Discovery(web, time.time(), port=options.port).keys(name):
                for key in read_keys(web.read(source, LARGEST_KEYS, what=f"key {source}"), what=source):
                    path = options.trust.add(key, name)
                    self._progress.say(f"{name}: trusts {key.fingerprint} of {source} from now on: {path}")
        return options.trust.trusted(name)

    # --- into the store ---------------------------------------------------------------------------------------------

    @staticmethod
    @contextmanager
    def _used_up(partial: Partial) -> Iterator[None]:
        """An archive goes once its image is kept or cannot be. One by a key that is not trusted yet may be wanted soon."""
        try:
            yield
        except LadingError as error:
            if error.reason not in ("key-unknown", "no-trusted-key", "no-gpgv"):
                partial.drop()
            raise
        partial.drop()

    def _kept(
        self,
        file: int,
        what: str,
        signature: bytes,
        asked: Wanted | None,
        dependency: Dependency | None,
        above: tuple[str, ...],
        keys: list[Key] | None = None,
    ) -> Image:
        """Check the whole archive in ``file``, and keep it with what it depends on."""
        if not self._options.unsigned:
            signature = signature_packets(signature, what=f"signature of {what}")
            if keys is None:
                # By its URL or file an image has only the name that it gives itself, which is trusted for this alone.
                keys = self._keys(_manifest(file, what).name) or []
            signed = verify(file, signature, keys, time.time(), what=what)
            self._progress.say(f"{what}: signed by {signed.fingerprint} ({signed.user})")
        manifest = _manifest(file, what)
        self._check(manifest, asked, what)
        _check_pinned(file, dependency, what)
        name = str(asked or Wanted(manifest.name, mapping(manifest.labels)))
        for needed in manifest.dependencies:
            self._named(Wanted(needed.image_name, mapping(needed.labels)), needed, (*above, name))
        try:
            image = receive(self._images, pieces(file), what=what, asked=asked)
        except LadingError as error:
            if what not in error.message:  # of several images one may be meant
                error.message = f"{what}: {error.message}"
            raise
        self._progress.layer(image.id, DONE, -1, -1)
        return image

    def _check(self, manifest: ImageManifest, asked: Wanted | None, what: str) -> None:
        """Name and labels must be those asked for, and the image for this machine where nothing else was said."""
        if asked is None:
            return
        check_name(manifest, asked, what)
        labels = mapping(manifest.labels)
        for name, value in self._here.items():
            if name not in asked.labels and labels.get(name, value) != value:
                raise InvalidInput(
                    f"{what}: what arrived is for {name} {labels[name]}, not {value}", reason="other-name"
                )


def _check_pinned(file: int, dependency: Dependency | None, what: str) -> None:
    """An image that another one pins must be that very one. Raises :class:`InvalidInput` (reason ``other-image``)."""
    if dependency is None or not (dependency.image_id or dependency.size):
        return
    size = os.fstat(file).st_size
    if dependency.size not in (0, size):
        raise InvalidInput(
            f"{what}: {size} bytes arrived where {dependency.size} are pinned", reason="other-image"
        )
    if dependency.image_id:
        found = examine(pieces(file), what=what).image_id
        if found != dependency.image_id:
            raise InvalidInput(
                f"{what}: what arrived is {found[:19]}…, and {dependency.image_id[:19]}… is pinned",
                reason="other-image",
            )


def _manifest(file: int, what: str) -> ImageManifest:
    return ImageManifest.parse(manifest_of(pieces(file), what=what), what=f"{what}: manifest")
