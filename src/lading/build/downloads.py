"""Files of the web: fetched once, asked for anew with every build, and known by what is in them.

::

    ROOT/build/web/HASH/lock, id     of one URL: whose builds use it, and what it is
    ROOT/build/web/HASH/fetching     who is fetching it
    ROOT/build/web/HASH/files/about  the newest version's validators, digest and time, as JSON
    ROOT/build/web/HASH/files/VERSION/content    a version: mode 0600, the time that the server said

It is laid out as caches that commands mount are, so `lading builder prune` removes it as it does them.

An answer 304 costs one request. A redirect never leads from https to http, nor takes a password to another host.
"""

from __future__ import annotations

import base64
import os
import time
from urllib.parse import unquote_to_bytes, urlsplit, urlunsplit

from lading.build.trees import Tree
from lading.errors import Denied, InvalidInput, LadingError, NotFound, RemoteError, TimedOut
from lading.formats import digest as digests
from lading.formats import jsontext
from lading.images.files import Lock, disk_error, make_directories, read, remove_tree, write_atomically
from lading.images.remote import backoff, redirected, same_origin
from lading.images.remote_config import Registries
from lading.images.remote_http import BrokenConnection, HttpPool, Response

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl

    from lading.build.graph import CopyOp, Selection
    from lading.build.progress import Progress
    from lading.kernel import Kernel

LARGEST = 64 << 30
"""Bytes of a download."""
CONTENT = "content"
_REDIRECTS = 10
_ATTEMPTS = 4
_AGAIN = (408, 429, 500, 502, 503, 504)
_OLD = 86400  # seconds: a version that another build may still be reading is younger


class Download:
    """A file that was fetched, as a source of one file. ``digest``: of its content; ``moment``: seconds since 1970.

    ``url`` is without the password. ``directory`` holds it as :data:`CONTENT`.
    """

    own = False

    def __init__(self, url: str, directory: str, digest: str, moment: int) -> None:
        self.url = url
        self.directory = directory
        self.digest = digest
        self.moment = moment
        self.what = f"the download of {url}"

    @property
    def key(self) -> str:
        """What a step's key says of it: all that gets into an image."""
        return digests.of(f"web\0{self.digest}\0{self.moment}\0600".encode()).partition(":")[2]

    @property
    def size(self) -> int:
        """Bytes of the content. Raises :class:`LadingError`."""
        try:
            return os.stat(f"{self.directory}/{CONTENT}").st_size
        except OSError as error:
            raise disk_error(error, f"cannot read {self.what}") from None

    def open(self) -> int:
        """The content, for reading. Raises :class:`LadingError`."""
        try:
            return os.open(f"{self.directory}/{CONTENT}", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as error:
            raise disk_error(error, f"cannot read {self.what}") from None

    def tree(self, kernel: Kernel) -> Tree:
        """See :class:`lading.build.workshop.Source`."""
        try:
            fd = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise disk_error(error, f"cannot read {self.what}") from None
        return Tree(kernel, fd, what=self.what, own=False)

    def check(self, tree: Tree, selection: Selection, digest: str, op: CopyOp | None) -> None:
        """See :class:`lading.build.workshop.Source`: nobody changes a version."""

    def release(self) -> None:
        """See :class:`lading.build.workshop.Source`."""


class Downloads:
    """The downloads of one build. ``data``: the builder's directory; ``config``: where ``certs.d`` is."""

    def __init__(self, data: str, config: str, progress: Progress) -> None:
        self._directory = f"{data}/web"
        self._registries = Registries(config)
        self._progress = progress
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._pool: HttpPool | None = None
        self._known: dict[str, Download] = {}
        # Held until the build is over, so that no prune takes a version away from it.
        self._used: dict[str, Lock] = {}

    def get(self, url: str, *, checksum: str = "", limit: int = LARGEST) -> Download:
        """The file at ``url`` as it is now; of a ``checksum`` (``sha256:…``) that is here already, nobody is asked.

        Raises :class:`NotFound`, :class:`Denied`, :class:`RemoteError` (``status``, ``redirect``, ``too-large``,
        ``checksum``), :class:`TimedOut`, :class:`Exhausted`, :class:`InvalidInput` for no URL.
        """
        found = self._known.get(url)
        if found is None or (checksum and found.digest != checksum):
            shown, _ = without_password(url)
            directory = f"{self._directory}/{digests.of(url.encode('utf-8', 'surrogateescape')).partition(':')[2][:40]}"
            make_directories(directory)
            if directory not in self._used:
                self._used[directory] = Lock(directory + "/lock", exclusive=False).__enter__()
            with Lock(directory + "/fetching", exclusive=True):
                write_atomically(directory + "/id", f"{shown}\n".encode("utf-8", "surrogateescape"))
                os.utime(directory)
                os.makedirs(directory + "/files", exist_ok=True)
                found = self._fetched(url, shown, directory + "/files", checksum, limit)
                self._known[url] = found
        if found.size > limit:
            raise _too_large(found.url, limit)
        if checksum and not _matches(found, checksum):
            raise RemoteError(
                f"{found.url} is {found.digest}, and was to be {checksum}",
                hint="the file has changed, or the checksum is another file's",
                reason="checksum",
            )
        return found

    def _fetched(self, url: str, shown: str, directory: str, checksum: str, limit: int) -> Download:
        about = _about(directory)
        known = _version(directory, about, shown)
        if known is not None and checksum and known.digest == checksum:
            return known
        headers = {}
        if known is not None:
            if about.get("etag"):
                headers["If-None-Match"] = str(about["etag"])
            elif about.get("modified"):
                headers["If-Modified-Since"] = str(about["modified"])
        name = f"fetch {shown}"
        self._progress.phase(name, "started")
        attempt = 0
        while True:
            attempt += 1
            try:
                with self._ask(url, headers) as answer:
                    if answer.status == 304 and known is not None:
                        self._progress.phase(name, "done")
                        return known
                    if answer.status in _AGAIN and attempt < _ATTEMPTS:
                        answer.drain()
                    elif answer.status != 200:
                        raise _refused(answer, shown)
                    else:
                        made = self._stored(answer, shown, directory, limit, name)
                        self._progress.phase(name, "done")
                        return made
            except (BrokenConnection, TimedOut):
                if attempt >= _ATTEMPTS:
                    raise
            time.sleep(backoff(attempt))

    def _stored(self, answer: Response, shown: str, directory: str, limit: int, name: str) -> Download:
        if answer.length > limit:
            raise _too_large(shown, limit)
        modified = answer.header("Last-Modified")
        moment = _moment(modified)
        part = f"{directory}/{os.getpid()}-{os.urandom(4).hex()}.tmp"
        hashed, size = digests.hasher("sha256"), 0
        try:
            os.mkdir(part, 0o700)
            fd = os.open(f"{part}/{CONTENT}", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                for piece in answer.pieces():
                    size += len(piece)
                    if size > limit:
                        raise _too_large(shown, limit)
                    hashed.update(piece)
                    view = memoryview(piece)
                    while view:
                        view = view[os.write(fd, view) :]
                    self._progress.phase(name, "fetching", size, answer.length)
                os.utime(fd, (moment, moment))
                os.fsync(fd)
            finally:
                os.close(fd)
            digest = f"sha256:{hashed.hexdigest()}"
            version = f"{hashed.hexdigest()}-{moment}"
            if os.path.isdir(f"{directory}/{version}"):
                os.utime(f"{directory}/{version}")
            else:
                os.rename(part, f"{directory}/{version}")
            _clean(directory, version)
            record: dict[str, object] = {
                "url": shown,
                "digest": digest,
                "moment": moment,
                "etag": _header(answer.header("ETag")),
                "modified": _header(modified),
            }
            write_atomically(f"{directory}/about", jsontext.dumps(record).encode())
        except OSError as error:
            raise disk_error(error, f"cannot store {shown}") from None
        finally:
            remove_tree(part)
        return Download(shown, f"{directory}/{version}", digest, moment)

    def _ask(self, url: str, headers: dict[str, str]) -> Response:
        """The answer, redirects followed."""
        if self._pool is None:
            self._pool = HttpPool(self._context)
        asked, password = without_password(url)
        first = asked
        for _ in range(_REDIRECTS + 1):
            sent = {**headers, "User-Agent": "lading"}
            if password and same_origin(first, asked):
                sent["Authorization"] = password
            try:
                answer = self._pool.request("GET", asked, sent)
            except LadingError as error:
                if error.reason == "certificate" and "certs.d" in error.hint:  # it speaks of registries
                    error.hint = (
                        "an authority of its own goes into certs.d/HOST[:PORT]/ca.crt of the configuration"
                    )
                raise
            if answer.status not in (301, 302, 303, 307, 308):
                return answer
            location = answer.header("Location")
            answer.drain()
            asked = redirected(asked, location, asked[:300]).partition("#")[0]
        raise RemoteError(f"{first[:300]} redirects in circles", reason="redirect")

    def _context(self, host_port: str) -> ssl.SSLContext:
        if host_port not in self._contexts:
            self._contexts[host_port] = self._registries.context(host_port)
        return self._contexts[host_port]

    def close(self) -> None:
        """Close connections, and leave what was fetched to whoever prunes."""
        while self._used:
            self._used.popitem()[1].__exit__()
        if self._pool is not None:
            self._pool.close()
            self._pool = None


def without_password(url: str) -> tuple[str, str]:
    """The URL without user and password, quoted as HTTP wants it, and an Authorization header for them, empty without."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise InvalidInput(f"{url[:200]!r} is not a URL: {error}") from None
    from urllib.parse import quote

    where = f"[{host}]" if ":" in host else host
    if port is not None:
        where += f":{port}"
    path = quote(parts.path, safe="/%:@!$&'()*+,;=~-._", errors="surrogateescape")
    query = quote(parts.query, safe="/%:@!$&'()*+,;=~-._?[]", errors="surrogateescape")
    header = ""
    if parts.username is not None:
        words = [os.fsencode(word or "") for word in (parts.username, parts.password)]
        header = "Basic " + base64.b64encode(b":".join(map(unquote_to_bytes, words))).decode()
    return urlunsplit((parts.scheme.lower(), where, path, query, "")), header


def _matches(found: Download, checksum: str) -> bool:
    if found.digest == checksum:
        return True
    algorithm, _, _ = checksum.partition(":")
    if algorithm == "sha256":
        return False
    made = digests.hasher(algorithm)
    fd = found.open()
    try:
        while piece := os.read(fd, 1 << 20):
            made.update(piece)
    finally:
        os.close(fd)
    return f"{algorithm}:{made.hexdigest()}" == checksum


def _about(directory: str) -> dict[str, object]:
    data = read(directory + "/about")
    if data is None:
        return {}
    try:
        value = jsontext.loads(data)
    except LadingError:
        return {}  # fetched anew
    return value if isinstance(value, dict) else {}


def _version(directory: str, about: dict[str, object], shown: str) -> Download | None:
    digest, moment = about.get("digest"), about.get("moment")
    if not isinstance(digest, str) or not isinstance(moment, int) or not digests.is_digest(digest):
        return None
    place = f"{directory}/{digest.partition(':')[2]}-{moment}"
    return Download(shown, place, digest, moment) if os.path.isfile(f"{place}/{CONTENT}") else None


def _clean(directory: str, kept: str) -> None:
    """Remove versions that nobody can be at any more, and what a kill left."""
    for entry in os.scandir(directory):
        if entry.name != kept and entry.is_dir(follow_symlinks=False):
            mine = entry.name.startswith(f"{os.getpid()}-")
            if not mine and time.time() - entry.stat(follow_symlinks=False).st_mtime > _OLD:
                remove_tree(entry.path)


def _moment(header: str) -> int:
    """Seconds of a Last-Modified header; 0 when it says nothing we understand."""
    import email.utils

    try:
        seconds = int(email.utils.parsedate_to_datetime(header).timestamp())
    except (ValueError, TypeError, OverflowError):
        return 0
    return seconds if 0 <= seconds < 1 << 40 else 0


def _header(text: str) -> str:
    """A validator that can be sent back."""
    return text if len(text) < 1000 and text.isascii() and text.isprintable() else ""


def _refused(answer: Response, shown: str) -> LadingError:
    if answer.status in (404, 410):
        return NotFound(f"{shown} does not exist", hint="look at the URL", reason="not-found")
    if answer.status in (401, 403):
        return Denied(f"{shown} may not be read ({answer.status})", reason="unauthorized")
    return RemoteError(f"{shown} answered {answer.status}", reason="status")


def _too_large(shown: str, limit: int) -> RemoteError:
    return RemoteError(f"{shown} sends more than {limit} bytes", reason="too-large")
