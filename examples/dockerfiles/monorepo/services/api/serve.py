"""GET / shows what is for sale."""

import json
from http.server import BaseHTTPRequestHandler, HTTPServer

from money import written
from text import plural

with open("/etc/service.json") as file:
    CONFIG = json.load(file)


class Handler(BaseHTTPRequestHandler):
    """Prices, one a line."""

    def do_GET(self) -> None:
        lines = [f"{CONFIG['name']}: {plural(len(CONFIG['prices']), 'item')}"]
        lines += [f"{name} {written(cents)}" for name, cents in CONFIG["prices"].items()]
        data = "\n".join(lines).encode() + b"\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


HTTPServer(("", 8000), Handler).serve_forever()
