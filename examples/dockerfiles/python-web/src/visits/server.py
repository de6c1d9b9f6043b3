"""``visits``: GET / counts and greets, GET /alive only answers."""

import argparse
import os
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from visits.counter import Counter

PORT = int(os.environ.get("PORT", "8000"))


def handler(greeting: str, counter: Counter) -> type[BaseHTTPRequestHandler]:
    """What answers requests."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/alive":
                text = "alive"
            else:
                with lock:
                    text = f"{greeting}, visitor {counter.add()} of {os.environ.get('VISITS_VERSION', '?')}"
            data = text.encode() + b"\n"
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; charset=utf-8")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    return Handler


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="visits")
    parser.add_argument("--greeting", default="Hello")
    parser.add_argument("--check", action="store_true", help="ask the server that runs, and exit")
    arguments = parser.parse_args()
    if arguments.check:
        urllib.request.urlopen(f"http://127.0.0.1:{PORT}/alive", timeout=2).close()
        return
    server = ThreadingHTTPServer(("", PORT), handler(arguments.greeting, Counter(Path("visits"))))
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        sys.exit("visits: closed")
