"""Network probes against real little servers on the loopback address."""

from __future__ import annotations

import os
import socket
import threading

import pytest

from lading.formats.pod import (
    Container,
    ContainerPort,
    GRPCAction,
    HTTPGetAction,
    HTTPHeader,
    TCPSocketAction,
)
from lading.kernel import Kernel
from lading.node import probing


def serve(answer):
    """A server that reads once, sends each of ``answer`` and ends its side; (port, what it received).

    It closes only after the probe has: a close over unread data (the probe's acknowledgement of SETTINGS) is a reset, which
    may overtake the answer.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    received = []

    def run():
        connection, _ = listener.accept()
        with connection:
            received.append(connection.recv(65536))
            for part in answer:
                connection.sendall(part)
            try:
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):
                    pass
            except OSError:
                pass  # the probe went first
        listener.close()

    threading.Thread(target=run, daemon=True).start()
    return listener.getsockname()[1], received


def check(action, timeout=2.0, container=None):
    probe = probing.start(Kernel(), action, container or Container(name="a"), "127.0.0.1", -1, timeout)
    status = os.waitstatus_to_exitcode(os.waitpid(probe.pid, 0)[1])
    return status == 0, probe.words()


@pytest.mark.parametrize(
    ("status", "success"), [(200, True), (204, True), (302, True), (399, True), (404, False), (500, False)]
)
def test_http_succeeds_from_200_to_399(status, success):
    port, _ = serve([b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status])
    assert check(HTTPGetAction(port=port, path="/healthz"))[0] is success


def test_http_sends_the_path_and_headers_that_the_probe_names():
    port, received = serve([b"HTTP/1.1 200 OK\r\n\r\n"])
    check(
        HTTPGetAction(
            port=port,
            path="/x",
            http_headers=[HTTPHeader(name="host", value="example"), HTTPHeader(name="X-A", value="1")],
        )
    )
    assert received[0].startswith(b"GET /x HTTP/1.1\r\n")
    assert b"host: example\r\n" in received[0]
    assert b"Host:" not in received[0]
    assert b"X-A: 1\r\n" in received[0]


def serve_each(*answers, context=None):
    """A server that gives each connection the next answer, with ``{port}`` in it; (port, the requests it got)."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    received = []

    def run():
        for answer in answers:
            connection, _ = listener.accept()
            if context is not None:
                connection = context.wrap_socket(connection, server_side=True)
            with connection:
                received.append(connection.recv(65536))
                connection.sendall(answer.replace("{port}", str(port)).encode())
        listener.close()

    threading.Thread(target=run, daemon=True).start()
    return port, received


MOVED = "HTTP/1.1 302 Found\r\nX: y\r\nLocation: %s\r\n\r\n"
GOOD, BAD = "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 500 Bad\r\n\r\n"


@pytest.mark.parametrize("location", ["/b?c=d", "b?c=d", "http://127.0.0.1:{port}/b?c=d"])
def test_http_follows_a_redirect_on_the_same_host(location):
    port, received = serve_each(MOVED % location, BAD)
    success, words = check(HTTPGetAction(port=port, path="/a"))
    assert not success and "500" in words
    assert received[1].startswith(b"GET /b?c=d HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/a b", b"/a%20b"),
        ("/ä?q=1&r=%20#part", b"/%C3%A4?q=1&r=%20"),
        ("x\r\nX-Evil: 1", b"/x%0D%0AX-Evil:%201"),
    ],
)
def test_http_sends_one_request_line_whatever_the_path(path, sent):
    port, received = serve_each(GOOD)
    assert check(HTTPGetAction(port=port, path=path))[0]
    assert received[0].split(b"\r\n")[0] == b"GET " + sent + b" HTTP/1.1"
    assert not any(line.startswith(b"X-Evil") for line in received[0].split(b"\r\n"))


def test_a_hook_only_has_to_be_heard():
    port, _ = serve_each(BAD)
    action = HTTPGetAction(port=port)
    probe = probing.start(Kernel(), action, Container(name="a"), "127.0.0.1", -1, 30.0, judge=False)
    assert (os.waitstatus_to_exitcode(os.waitpid(probe.pid, 0)[1]), probe.words()) == (0, "HTTP status 500")


def test_http_takes_a_redirect_to_another_host_for_success():
    port, received = serve_each(MOVED % "http://192.0.2.1/x")
    success, words = check(HTTPGetAction(port=port))
    assert success and "another host" in words and len(received) == 1


def test_http_takes_an_eleventh_redirect_for_success():
    port, received = serve_each(*[MOVED % "/again"] * 11)
    success, words = check(HTTPGetAction(port=port))
    assert success and "more than 10" in words and len(received) == 11


def test_http_sends_repeated_headers_and_leaves_out_defaults_that_are_empty():
    port, received = serve_each(GOOD)
    headers = [("X-A", "1"), ("x-a", "2"), ("Accept", ""), ("User-Agent", ""), ("X-Empty", "")]
    check(HTTPGetAction(port=port, http_headers=[HTTPHeader(name=n, value=v) for n, v in headers]))
    lines = received[0].split(b"\r\n")
    assert b"X-A: 1" in lines and b"x-a: 2" in lines and b"X-Empty: " in lines
    assert not any(line.lower().startswith((b"accept", b"user-agent")) for line in lines)


def test_https_is_not_verified_and_is_one_connection(tmp_path):
    import ssl
    import subprocess

    made = ["-keyout", f"{tmp_path}/key", "-out", f"{tmp_path}/crt", "-subj", "/CN=elsewhere", "-days", "1"]
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    subprocess.run([*command, *made], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{tmp_path}/crt", f"{tmp_path}/key")
    port, received = serve_each(GOOD, context=context)
    success, words = check(HTTPGetAction(port=port, path="/h", scheme="HTTPS"), timeout=30.0)
    assert success, words
    assert received[0].startswith(b"GET /h ")


@pytest.mark.parametrize("garbage", [b"", b"hello\r\n", b"HTTP/1.1 abc\r\n", b"\x00" * 70000])
def test_an_answer_that_is_not_http_is_a_failure(garbage):
    port, _ = serve([garbage])
    assert check(HTTPGetAction(port=port))[0] is False


def test_a_silent_server_fails_within_the_timeout():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        success, words = check(HTTPGetAction(port=listener.getsockname()[1]), timeout=0.2)
    assert not success
    assert "timed out" in words


def test_a_named_port_is_looked_up_in_the_container():
    port, _ = serve([b"HTTP/1.1 200 OK\r\n\r\n"])
    container = Container(name="a", ports=[ContainerPort(name="web", container_port=port)])
    assert check(HTTPGetAction(port="web"), container=container)[0]


def test_tcp_needs_only_a_connection():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert check(TCPSocketAction(port=port))[0]
    success, words = check(TCPSocketAction(port=port))
    assert not success
    assert "refused" in words


def frame(kind, flags, stream, payload):
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


@pytest.mark.parametrize(
    ("body", "success", "words"),
    [
        (b"\x08\x01", True, "SERVING"),
        (b"\x08\x02", False, "NOT_SERVING"),
        (b"", False, "UNKNOWN"),
    ],
)
def test_grpc_succeeds_when_the_health_service_says_serving(body, success, words):
    message = b"\x00" + len(body).to_bytes(4, "big") + body
    port, received = serve(
        [
            frame(4, 0, 0, b""),
            frame(1, 4, 1, b"\x88"),
            frame(0, 0, 1, message),
            frame(1, 5, 1, b"\x00\x0bgrpc-status\x010"),
        ]
    )
    result, said = check(GRPCAction(port=port, service="db"))
    assert result is success
    assert words in said
    assert received[0].startswith(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")


def test_a_grpc_server_without_a_health_service_fails_clearly():
    port, _ = serve([frame(4, 0, 0, b""), frame(1, 5, 1, b"\x88\x00\x0bgrpc-status\x0212")])
    success, words = check(GRPCAction(port=port))
    assert not success
    assert "no health service" in words
