"""A page of notes in a database: GET / shows them, POST / adds one, GET /alive says whether the database answers."""

import html
import http.server
import os
import urllib.parse


def connect():
    import psycopg2

    with open("/run/secrets/password") as file:
        password = file.read().strip()
    return psycopg2.connect(host="db", user="notes", dbname="notes", password=password)


def page(notes):
    rows = "".join(f"<li>{html.escape(text)}</li>" for text in notes)
    return f"<!doctype html><title>Notes</title><h1>{len(notes)} notes</h1><ul>{rows}</ul>"


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, status, text):
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        with connect() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT text FROM notes ORDER BY id")
            notes = [row[0] for row in cursor.fetchall()]
        self.answer(200, "alive" if self.path == "/alive" else page(notes))

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        text = urllib.parse.parse_qs(body).get("text", [""])[0]
        with connect() as connection, connection.cursor() as cursor:
            cursor.execute("INSERT INTO notes (text) VALUES (%s)", (text,))
        self.answer(201, "written")


if __name__ == "__main__":
    with connect() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS notes (id serial PRIMARY KEY, text text)")
    http.server.ThreadingHTTPServer(("", int(os.environ.get("PORT", "8000"))), Handler).serve_forever()
