"""Asking strangers' web sites for pages, keys, signatures and archives: HTTPS, and credentials where they belong.

Credentials are Rocket's files in ``auth.d`` (:mod:`lading.images.aci.configured`). They are looked up for each URL
that is asked, so a redirect elsewhere takes none along, and they are never sent over plain HTTP.
"""

from __future__ import annotations

import os
import time

from lading.errors import Denied, LadingError, NotFound, RemoteError, TimedOut
from lading.formats.appc.credentials import credential_for
from lading.images.aci.configured import credentials
from lading.images.remote import backoff, redirected
from lading.images.remote_config import Registries
from lading.images.remote_http import STALL_SECONDS, BrokenConnection, Cancel, HttpPool, Response

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

MAX_REDIRECTS = 10
ATTEMPTS = 3
_AGAIN = (408, 429, 500, 502, 503, 504)


class Web:
    """Requests for one fetch. A context manager.

    ``config``  the configuration directory: ``auth.d`` and ``certs.d``. Others for ``auth.d`` are in ``environ``.
    ``http``    plain HTTP is allowed.
    ``tls``     certificates are verified; False accepts any.
    """

    def __init__(
        self,
        config: str,
        *,
        http: bool = False,
        tls: bool = True,
        cancel: Cancel | None = None,
        stall: float = STALL_SECONDS,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.http = http
        self.cancel = cancel or Cancel()
        self._tls = tls
        self._registries = Registries(config)
        self._credentials = credentials(config, os.environ if environ is None else environ)
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._pool = HttpPool(self._context, cancel=self.cancel, stall=stall, environ=environ)

    @property
    def verified(self) -> bool:
        """Whether everything that arrives comes from the host that was asked."""
        return self._tls and not self.http

    def _context(self, host_port: str) -> ssl.SSLContext:
        if host_port not in self._contexts:
            self._contexts[host_port] = self._registries.context(host_port, insecure=not self._tls)
        return self._contexts[host_port]

    def get(self, url: str, headers: Mapping[str, str] | None = None, *, what: str) -> Response:
        """The answer to ``url``, whatever its status; redirects are followed. ``what`` names what is wanted in errors.

        Raises :class:`Denied` (``plain-http``), :class:`RemoteError` (``redirect``), and what
        :meth:`HttpPool.request` does.
        """
        for _ in range(MAX_REDIRECTS + 1):
            if not url.lower().startswith("https:") and not self.http:
                raise Denied(
                    f"{what}: {url[:300]} is plain HTTP, which anybody on the way can change",
                    hint="use https, or the option that allows plain HTTP",
                    reason="plain-http",
                )
            answer = self._asked(url, headers or {})
            if answer.status not in (301, 302, 303, 307, 308):
                return answer
            location = answer.header("Location")
            answer.drain()
            url = redirected(url, location, f"{what}: {url[:300]}", plain=self.http)
        raise RemoteError(f"{what}: {url[:300]} redirects in circles", reason="redirect")

    def _asked(self, url: str, headers: Mapping[str, str]) -> Response:
        sent = {**headers, "User-Agent": "lading"}
        who = credential_for(url, self._credentials)
        if who is not None:
            sent |= who.headers(url, time.time())
        attempt = 0
        while True:
            attempt += 1
            try:
                answer = self._pool.request("GET", url, sent)
            except (BrokenConnection, TimedOut):
                if attempt >= ATTEMPTS:
                    raise
            else:
                if answer.status not in _AGAIN or attempt >= ATTEMPTS:
                    return answer
                answer.drain()
            self.cancel.sleep(backoff(attempt))

    def read(self, url: str, limit: int, *, what: str) -> bytes:
        """The whole of a small file. Raises what :meth:`get` and :func:`failure` do, and ``too-large``."""
        with self.get(url, what=what) as answer:
            if answer.status != 200:
                raise failure(answer, what)
            return answer.read(limit)

    def __enter__(self) -> Web:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.close()


def failure(answer: Response, what: str) -> LadingError:
    """The error for an answer that is not good."""
    url, status = answer.url[:300], answer.status
    if status in (404, 410):
        return NotFound(f"{what}: {url} does not exist")
    if status in (401, 403):
        return Denied(
            f"{what}: {url} may not be read ({status})",
            hint="credentials are files in auth.d of the configuration directory",
            reason="unauthorized",
        )
    return RemoteError(f"{what}: {url} answered {status}", reason="status")
