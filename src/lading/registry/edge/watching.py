"""What is told of each request when it is over: a line of the access log, and the counters."""

from __future__ import annotations

import asyncio
import os
import time

from aiohttp import hdrs, web
from aiohttp.abc import AbstractAccessLogger

from lading.formats import duration, jsontext
from lading.registry.counters import Counters
from lading.registry.edge.answers import FromFile
from lading.registry.edge.guard import address_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.registry.garbage import Report
    from lading.registry.store import Store

REQUESTS = "lading_registry_requests_total"
SECONDS = "lading_registry_request_duration_seconds"
RECEIVED = "lading_registry_received_bytes_total"
SENT = "lading_registry_sent_bytes_total"
FLYING = "lading_registry_requests_in_flight"
_METHODS = frozenset(hdrs.METH_ALL)
_MOST_WAITING = 20000
_SOON = 0.1

ROUTE: web.RequestKey[str] = web.RequestKey("route", str)
USER: web.RequestKey[str] = web.RequestKey("user", str)


class Watch:
    """Counts and logs, in the form ``text``, ``json`` or ``none``. A thread writes the lines: a slow reader stops nobody."""

    def __init__(self, form: str, fd: int = 1) -> None:
        self._form = form
        self._fd = fd
        self._lines: list[str] = []
        self._lost = 0
        self._writing: asyncio.Task[None] | None = None
        self.flying = 0
        self.counters = Counters()
        for name, kind, meaning in (
            (REQUESTS, "counter", "Requests by method, endpoint and status."),
            (SECONDS, "histogram", "Time from a request's headers to the end of its answer, by endpoint."),
            (RECEIVED, "counter", "Bytes of requests' bodies."),
            (SENT, "counter", "Bytes of answers' bodies."),
            (FLYING, "gauge", "Requests that are being answered."),
            (
                "lading_registry_log_lines_lost_total",
                "counter",
                "Lines that the access log's reader was too slow for.",
            ),
        ):
            self.counters.declare(name, kind, meaning)
        self.counters.ask(FLYING, lambda: self.flying)
        self.counters.ask("lading_registry_log_lines_lost_total", lambda: self._lost)

    def landed(self) -> None:
        """One request fewer is being answered."""
        self.flying -= 1

    def store(self, store: Store, *, read_only: bool = False) -> None:
        """Show what ``store`` holds, too."""
        name = "lading_registry_read_only"
        self.counters.declare(name, "gauge", "1 while nobody may push or delete, else 0.")
        self.counters.ask(name, lambda: float(read_only or bool(store.frozen())))
        for table in ("repositories", "blobs", "manifests", "tags"):
            name = f"lading_registry_{table}"
            meaning = f"{table.capitalize()} in the records; a blob counts in each repository that has it."
            self.counters.declare(name, "gauge", meaning)
            self.counters.ask(name, lambda t=table: _count(store, t))  # type: ignore[misc]
        self.counters.declare("lading_registry_uploads_open", "gauge", "Uploads that are not finished.")
        self.counters.ask("lading_registry_uploads_open", lambda: len(os.listdir(store.uploads)))
        for name, meaning in (
            ("gc_runs_total", "Collections of garbage."),
            ("gc_failures_total", "Collections that failed."),
            ("gc_removed_blobs_total", "Blobs that collections removed from the store."),
            ("gc_removed_uploads_total", "Forgotten uploads that collections removed."),
            ("gc_freed_bytes_total", "Bytes that collections freed."),
        ):
            self.counters.declare(f"lading_registry_{name}", "counter", meaning)
            self.counters.add(f"lading_registry_{name}", 0)
        self.counters.declare("lading_registry_gc_last_seconds", "gauge", "Length of the last collection.")

    def collected(self, report: Report | None) -> None:
        """A collection has ended; None: it failed."""
        add = self.counters.add
        if report is None:
            add("lading_registry_gc_failures_total")
            return
        add("lading_registry_gc_runs_total")
        add("lading_registry_gc_removed_blobs_total", report.blobs)
        add("lading_registry_gc_removed_uploads_total", report.uploads)
        add("lading_registry_gc_freed_bytes_total", report.freed)
        self.counters.set("lading_registry_gc_last_seconds", report.seconds)

    def logger(self) -> type[AbstractAccessLogger]:
        """The class that aiohttp makes for each connection and tells of each request."""
        watch = self

        class Logger(AbstractAccessLogger):
            """Hands on what it is told."""

            def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
                """Called when an answer has been sent, or its client is gone."""
                watch.over(request, response, time)

        return Logger

    def over(self, request: web.BaseRequest, response: web.StreamResponse, seconds: float) -> None:
        """A request has been answered."""
        route = request.get(ROUTE, "none")
        method = request.method if request.method in _METHODS else "other"
        received = request.content.total_bytes
        counters = self.counters
        counters.add(REQUESTS, 1, method=method, route=route, status=str(response.status))
        counters.observe(SECONDS, seconds, route=route)
        if received:
            counters.add(RECEIVED, received)
        sent = _sent(request, response)
        if sent:
            counters.add(SENT, sent)
        if self._form != "none":
            self._write(self._line(request, response.status, received, sent, seconds))

    def _line(self, request: web.BaseRequest, status: int, received: int, sent: int, seconds: float) -> str:
        agent = request.headers.get("User-Agent", "")[:200]
        when = duration.rfc3339(time.time())
        user, address = request.get(USER, ""), address_of(request)
        if self._form == "json":
            return jsontext.dumps(
                {
                    "time": when,
                    "address": address,
                    "user": _plain(user),
                    "method": _plain(request.method),
                    "path": _plain(request.raw_path[:2000]),
                    "status": status,
                    "received": received,
                    "sent": sent,
                    "seconds": round(seconds, 6),
                    "agent": _plain(agent),
                }
            )
        return (
            f'{when} {address} {_plain(user) or "-"} "{_plain(request.method)} {_plain(request.raw_path[:2000])}" '
            f'{status} {received} {sent} {seconds * 1000:.1f}ms "{_plain(agent)}"'
        )

    def _write(self, line: str) -> None:
        if len(self._lines) >= _MOST_WAITING:
            self._lost += 1
            return
        self._lines.append(line)
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_all())

    async def _write_all(self) -> None:
        """One thread at a time: lines of two would get into each other, and a slow reader would hold them all."""
        loop = asyncio.get_running_loop()
        while self._lines:
            await asyncio.sleep(_SOON)
            lines, self._lines = self._lines, []
            await loop.run_in_executor(None, self._put, lines)
        self._writing = None

    async def flush(self) -> None:
        """Wait for the lines that are not written yet."""
        if self._writing is not None:
            await self._writing

    def _put(self, lines: list[str]) -> None:
        data = memoryview("".join(line + "\n" for line in lines).encode(errors="backslashreplace"))
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError:
            self._lost += len(lines)


def _sent(request: web.BaseRequest, response: web.StreamResponse) -> int:
    """Bytes of an answer's body."""
    if isinstance(response, FromFile):
        return response.sent
    body = response.body if isinstance(response, web.Response) else None
    return len(body) if isinstance(body, bytes) and request.method != "HEAD" else 0


def _plain(text: str) -> str:
    """``text`` in one line: what a client sends must not look like another line, nor speak to a terminal."""
    if text.isprintable() and '"' not in text:
        return text
    return "".join(c if c.isprintable() and c != '"' else repr(c)[1:-1] if c != '"' else "'" for c in text)


def _count(store: Store, table: str) -> float:
    row = store.ledger.row(f"SELECT count(*) FROM {table}")
    return float(str(row[0])) if row else 0.0
