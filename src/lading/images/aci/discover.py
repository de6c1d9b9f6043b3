"""Meta discovery over HTTPS: from an image's name, by way of its pages, to where it, its signature and its keys are.

Source: spec/discovery.md. A page that does not exist or says nothing of what is sought sends us on to the one of the name's
parent; every other failure is said. Archives and keys are sought apart: the page that has the one need not have the other.
What pages say is kept as their ``ETag`` and ``Cache-Control`` allow, unless it came over a connection that was not verified.
"""

from __future__ import annotations

import os

from lading.errors import InvalidInput, LadingError, NotFound
from lading.formats import digest as digests
from lading.formats import jsontext
from lading.formats.appc.discovery import Found, endpoints, pages
from lading.formats.appc.metatags import LARGEST
from lading.formats.appc.wanted import Wanted
from lading.images.aci.web import failure
from lading.images.files import make_directories, read, write_atomically
from lading.images.remote_http import BrokenConnection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lading.images.aci.web import Web
    from lading.images.remote_http import Response

_DEEPEST = 32
"""Components of a name: each is a page to ask for."""
_LONGEST_AGE = 24 * 3600
_MOST_PAGES = 64


class Page:
    """A discovery page as it was answered. ``expires``: Unix time until which it need not be asked for again."""

    __slots__ = ("etag", "expires", "html", "url")

    def __init__(self, url: str, html: str, etag: str, expires: float) -> None:
        self.url = url
        self.html = html
        self.etag = etag
        self.expires = expires


class Pages:
    """Kept pages, one file each in ``directory``. What is there is used only when it can be read as what was written."""

    def __init__(self, directory: str) -> None:
        self._directory = directory

    def _path(self, url: str) -> str:
        return f"{self._directory}/{digests.of(url.encode()).partition(':')[2]}"

    def get(self, url: str) -> Page | None:
        """The page of that URL, fresh or not."""
        data = read(self._path(url))
        if data is None:
            return None
        try:
            value = jsontext.loads(data)
            page = Page(str(value["url"]), str(value["html"]), str(value["etag"]), float(value["expires"]))
        except (LadingError, KeyError, TypeError, ValueError):
            return None
        return page if page.url == url else None

    def put(self, page: Page) -> None:
        """Keep a page; of too many the oldest go."""
        make_directories(self._directory)
        record = {"url": page.url, "etag": page.etag, "expires": page.expires, "html": page.html}
        # A page that credentials were needed for is nobody else's.
        write_atomically(self._path(page.url), jsontext.dumps(record).encode(), mode=0o600)
        kept = [entry for entry in os.scandir(self._directory) if not entry.name.startswith(".")]
        for entry in sorted(kept, key=_age)[: max(0, len(kept) - _MOST_PAGES)]:
            self._drop(entry.path)

    def forget(self, url: str) -> None:
        """Keep it no longer."""
        self._drop(self._path(url))

    @staticmethod
    def _drop(path: str) -> None:
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass


def _age(entry: os.DirEntry[str]) -> float:
    try:
        return entry.stat().st_mtime
    except FileNotFoundError:
        return 0.0


class Discovery:
    """Asks through ``web`` at ``now`` (Unix time). ``kept``: pages of earlier times, None to keep none. ``port`` 0: the usual."""

    def __init__(self, web: Web, now: float, *, kept: Pages | None = None, port: int = 0) -> None:
        self._web = web
        self._now = now
        self._kept = kept if web.verified else None
        self._port = port

    def endpoints(self, wanted: Wanted) -> Found:
        """Where the image may be: at least one endpoint. Raises :class:`NotFound` (reason ``no-discovery``) and the web's."""
        return self._walk(wanted, lambda found: bool(found.endpoints), "ac-discovery")

    def keys(self, prefix: str) -> list[str]:
        """URLs of keys for images below ``prefix``. Raises as :meth:`endpoints` does."""
        return self._walk(Wanted(prefix), lambda found: bool(found.keys), "ac-discovery-pubkeys").keys

    def _walk(self, wanted: Wanted, enough: Callable[[Found], bool], tag: str) -> Found:
        if wanted.name.count("/") >= _DEEPEST:
            raise InvalidInput(f"image name {wanted.name[:100]}…: more than {_DEEPEST} parts")
        failures = []
        for url in pages(wanted.name, port=self._port):
            page, why = self._page(url, wanted.name)
            if page is None:
                failures.append(f"{url} {why}")
                continue
            found = endpoints(page.html, wanted)
            if enough(found):
                self._keep(page)
                return found
            unusable = [f"{text[:200]!r} cannot be used: {reason}" for text, reason in found.skipped[:3]]
            failures.append(f"{url} has no {tag} tag for it" + "".join(f" ({text})" for text in unusable))
        raise NotFound(f"discovery of {wanted.name}: {'; '.join(failures)}", reason="no-discovery")

    def _page(self, url: str, name: str) -> tuple[Page | None, str]:
        """The page at ``url``, or why there is none and the parent's is to be asked."""
        kept = self._kept.get(url) if self._kept is not None else None
        if kept is not None and self._now < kept.expires:
            return kept, ""
        headers = {"Accept": "text/html"}
        if kept is not None and kept.etag:
            headers["If-None-Match"] = kept.etag
        what = f"discovery of {name}"
        with self._open(url, headers, what) as answer:
            if answer.status == 304 and kept is not None:
                return Page(url, kept.html, kept.etag, self._now + _fresh(answer)), ""
            if 400 <= answer.status < 500 and answer.status not in (408, 429):
                return None, f"answered {answer.status}"
            if answer.status != 200:
                raise failure(answer, what)
            html = answer.read(LARGEST).decode("utf-8", "replace")
            return Page(url, html, answer.header("ETag"), self._now + _fresh(answer)), ""

    def _open(self, url: str, headers: dict[str, str], what: str) -> Response:
        try:
            return self._web.get(url, headers, what=what)
        except BrokenConnection:
            if not self._web.http:
                raise
            # Where plain HTTP was asked for, it is what there is when nothing speaks TLS.
            return self._web.get("http" + url.removeprefix("https"), headers, what=what)

    def _keep(self, page: Page) -> None:
        if self._kept is None:
            return
        if page.expires < self._now or not (page.etag or page.expires > self._now):
            self._kept.forget(page.url)
        else:
            self._kept.put(page)


def _fresh(answer: Response) -> float:
    """Seconds for which an answer may be used without asking again; -1 when it must not be kept (RFC 9111)."""
    words = {}
    for part in answer.header("Cache-Control").lower().split(","):
        name, _, value = part.strip().partition("=")
        words[name] = value.strip('"')
    if "no-store" in words:
        return -1.0
    if "no-cache" in words:
        return 0.0
    age = answer.header("Age").strip()
    passed = int(age) if age.isascii() and age.isdigit() and len(age) < 10 else 0
    most = words.get("max-age", "")
    seconds = int(most) if most.isascii() and most.isdigit() and len(most) < 10 else 0
    return float(max(0, min(seconds, _LONGEST_AGE) - passed))
