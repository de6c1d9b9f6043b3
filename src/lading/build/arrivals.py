"""Contexts that arrive: an archive or a Dockerfile from a stream, a download, a repository. And contexts with names.

An archive is unpacked into the store's staging area by :mod:`lading.images.plain`, and goes with the build.
"""

from __future__ import annotations

import os

from lading.build import origins
from lading.build.contexts import LocalContext
from lading.build.origins import LARGEST_FILE, Origin
from lading.errors import InvalidInput, Unsupported
from lading.formats import digest as digests
from lading.formats.dockerfile.remote import GitSource, is_git, is_http

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from lading.build.fetching import Fetching
    from lading.build.request import Request
    from lading.images import Images
    from lading.kernel import Kernel

_CHUNK = 1 << 18
_HEAD = 512
_GITHUB = "github.com/"
_NOTHING = ("target:", "docker-image://", "container-image://", "oci-layout://", "file://")


class Arrivals:
    """Makes contexts for one build. ``data``: the builder's directory."""

    def __init__(self, kernel: Kernel, images: Images, fetching: Fetching, data: str) -> None:
        #: A repository that is the context keeps its ``.git`` whatever its query says (``BUILDKIT_CONTEXT_KEEP_GIT_DIR``).
        self.keep_git_dir = False
        self._kernel = kernel
        self._images = images
        self._fetching = fetching
        self._data = data

    def origin(self, word: str, *, file: str, text: bytes | None, stream: BinaryIO) -> Origin:
        """What ``word`` means: ``-`` for ``stream``, a directory, a repository, a URL.

        ``file``: the Dockerfile in it; ``text``: the Dockerfile, when it came another way.
        Raises :class:`NotFound`, :class:`InvalidInput`, :class:`DockerfileError`, and what fetching and unpacking do.
        """
        if word == "-":
            return self._of_stream(stream, file, text)
        if not os.path.isdir(word):
            if word.startswith(_GITHUB) and not os.path.lexists(word):
                word = "https://" + _with_suffix(word)
            if is_git(word):
                return self._of_repository(word, file, text)
            if is_http(word):
                return self._of_download(word, file, text)
            if "://" in word:
                scheme = word.partition("://")[0]
                raise Unsupported(
                    f"contexts of {scheme}:// are not supported",
                    hint="give a directory, -, a repository or a URL of http or https",
                )
        return origins.of_directory(self._kernel, word, file=file, data=self._data, text=text)

    # -- kinds ---------------------------------------------------------------------------------------------------------

    def _of_stream(self, stream: BinaryIO, file: str, text: bytes | None) -> Origin:
        head = stream.read(_HEAD)
        if _looks_like_archive(head):
            context = self._unpacked(_pieces(stream, head), "the archive on standard input")
            return origins.of_files(self._kernel, context, file=file, text=text)
        if text is not None:
            raise InvalidInput("standard input is no archive, and the Dockerfile came another way")
        if file:
            raise InvalidInput(
                f"--file {file} and a Dockerfile on standard input: one of them",
                hint="give an archive on standard input, or leave --file out",
            )
        if not head:
            raise InvalidInput("standard input is empty", hint="pipe a Dockerfile or a tar archive into it")
        return Origin(None, head + stream.read(LARGEST_FILE + 1 - len(head)), "Dockerfile", None)

    def _of_repository(self, word: str, file: str, text: bytes | None) -> Origin:
        checkout = self._fetching.repositories.get(source := GitSource.parse(word), keep=False)
        checkout.keep = self.keep_git_dir or bool(source.keep_git_dir)
        try:
            path = checkout.directory(self._kernel)
        except BaseException:
            checkout.release()
            raise
        context = LocalContext(self._kernel, path, what=checkout.what, done=checkout.release)
        return origins.of_files(self._kernel, context, file=file, text=text)

    def _of_download(self, word: str, file: str, text: bytes | None) -> Origin:
        found = self._fetching.downloads.get(word)
        fd = found.open()
        with os.fdopen(fd, "rb") as stream:
            head = stream.read(_HEAD)
            if _looks_like_archive(head):
                context = self._unpacked(_pieces(stream, head), found.what)
                return origins.of_files(self._kernel, context, file=file, text=text)
            if file or text is not None:
                raise InvalidInput(f"{found.what} is no archive, so there is no other Dockerfile in it")
            return Origin(None, head + stream.read(LARGEST_FILE + 1 - len(head)), found.url, None)

    def _unpacked(self, pieces: Iterator[bytes], what: str) -> LocalContext:
        from lading.errors import LadingError
        from lading.images.plain import PlainExtractor, extract

        staging = self._images.layers.stage()
        try:
            path = staging.path + "/context"
            os.mkdir(path, 0o755)
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                extract(PlainExtractor(fd), pieces, what=what)
            except LadingError as error:
                if not error.message.startswith(what):
                    error.message = f"{what}: {error.message}"
                raise
            finally:
                os.close(fd)
        except BaseException:
            staging.discard()
            raise
        return LocalContext(self._kernel, path, what=what, own=True, done=staging.discard)

    # -- names ---------------------------------------------------------------------------------------------------------

    def named(self, request: Request, text: str) -> None:
        """Take ``NAME=VALUE`` of ``--build-context`` into ``request``. Raises :class:`InvalidInput`, :class:`Unsupported`."""
        name, equals, value = text.partition("=")
        if not equals or not name or not value:
            raise InvalidInput(
                f"--build-context {text!r} is not NAME=VALUE",
                hint="a value is a directory, docker-image://IMAGE, oci-layout://PATH, a repository or a URL",
            )
        scheme, colon, rest = value.partition("://")
        if value in _NOTHING:
            raise InvalidInput(f"--build-context {text}: it names nothing after {value!r}")
        if value.startswith("target:"):
            request.stage_names[name.lower()] = value.removeprefix("target:")
        elif colon and scheme in ("docker-image", "container-image"):
            request.image_names[name] = rest
        elif colon and scheme == "oci-layout":
            request.image_names[name] = self._of_layout(rest, name, text)
        elif is_git(value):
            request.contexts[name] = self._files_of_repository(value)
        elif is_http(value):
            request.contexts[name] = self._files_of_download(value)
        elif colon and scheme not in ("file",):
            raise Unsupported(f"--build-context {name}: {scheme}:// is not supported")
        else:
            path = rest if colon else value
            what = f"the context {name!r}"
            ignore = origins.ignore_of(path, "")
            request.contexts[name] = LocalContext.at(
                self._kernel, path, what=what, ignore=ignore, data=self._data
            )

    def _files_of_repository(self, word: str) -> LocalContext:
        checkout = self._fetching.repositories.get(source := GitSource.parse(word))
        checkout.keep = bool(source.keep_git_dir)
        try:
            path = checkout.directory(self._kernel)
        except BaseException:
            checkout.release()
            raise
        return LocalContext(self._kernel, path, what=checkout.what, done=checkout.release)

    def _files_of_download(self, word: str) -> LocalContext:
        """What is in an archive, or else a directory with one file called ``context``."""
        found = self._fetching.downloads.get(word)
        with os.fdopen(found.open(), "rb") as stream:
            head = stream.read(_HEAD)
            if _looks_like_archive(head):
                return self._unpacked(_pieces(stream, head), found.what)
            staging = self._images.layers.stage()
            try:
                path = staging.path + "/context"
                os.mkdir(path, 0o755)
                with open(path + "/context", "xb") as file:
                    for piece in _pieces(stream, head):
                        file.write(piece)
                    os.fchmod(file.fileno(), 0o600)
                os.utime(path + "/context", (found.moment, found.moment))
            except BaseException:
                staging.discard()
                raise
        return LocalContext(self._kernel, path, what=found.what, done=staging.discard)

    def _of_layout(self, rest: str, name: str, text: str) -> str:
        """The image in an OCI layout, loaded; the digest that it has in the store."""
        path, at, digest = rest.partition("@")
        tag = ""
        if ":" in path and not os.path.isdir(path):
            path, _, tag = path.rpartition(":")
        if not os.path.isfile(f"{path}/index.json"):
            raise InvalidInput(
                f"--build-context {text}: {path or rest!r} is no OCI layout",
                hint="oci-layout://PATH[:TAG][@DIGEST]",
            )
        if at and not digests.is_digest(digest):
            raise InvalidInput(
                f"--build-context {text}: {digest[:100]!r} is no digest", hint="sha256: and 64 digits"
            )
        tagged = _tagged(path, tag)
        if digest and tagged not in ("", digest):
            raise InvalidInput(f"--build-context {text}: in {path!r} {tag!r} is {tagged}")
        wanted = digest or tagged
        loaded = self._images.load(path)
        for image in loaded:
            if not wanted or wanted in (image.digest, image.descriptor.digest, image.id):
                if not wanted and len({one.descriptor.digest for one in loaded}) > 1:
                    break
                return image.descriptor.digest
        raise InvalidInput(
            f"--build-context {name}: {path!r} holds {'no such image' if wanted else 'several images'}",
            hint="name one: oci-layout://PATH:TAG or oci-layout://PATH@DIGEST",
        )


def _tagged(path: str, tag: str) -> str:
    """The digest that a tag of an OCI layout means; empty without a tag."""
    from lading.images.files import read
    from lading.images.oci import decode_index

    if not tag:
        return ""
    index = decode_index((read(f"{path}/index.json") or b"")[: 4 << 20], f"{path}/index.json")
    for entry in index.manifests:
        named = entry.annotations.get("org.opencontainers.image.ref.name", "")
        if named == tag or named.endswith(":" + tag):
            return entry.digest
    raise InvalidInput(f"{path!r} has no image with the tag {tag!r}")


def _looks_like_archive(head: bytes) -> bool:
    from lading.errors import LadingError
    from lading.images.compression import sniff
    from lading.images.tarread import TarReader

    if sniff(head[:6]):
        return True
    if len(head) < _HEAD or b"\0" not in head:
        return False
    try:
        TarReader([head]).next()
    except LadingError as error:
        return error.reason != "bad-tar"  # the first header is whole, what follows it is not here
    return True


def _pieces(stream: BinaryIO, head: bytes) -> Iterator[bytes]:
    yield head
    while piece := stream.read(_CHUNK):
        yield piece


def _with_suffix(word: str) -> str:
    """``github.com/user/project`` with the ``.git`` that tells a repository."""
    for index, char in enumerate(word):
        if char in "?#":
            return word[:index].removesuffix(".git") + ".git" + word[index:]
    return word.removesuffix(".git") + ".git"
