"""A server's sockets, certificates, signals, and what a kill -9 leaves."""

from __future__ import annotations

import datetime
import http.client
import ipaddress
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from lading.errors import LadingError
from lading.images import remote_login as login
from lading.images.pull import PullOptions
from lading.registry.checking import check
from lading.registry.store import Store
from support.registryserver import SOURCE, RegistryServer, digest_of, until

pytestmark = pytest.mark.root


def serial(port: int) -> str:
    return ssl.get_server_certificate(("127.0.0.1", port))


def test_a_renewed_certificate_counts_from_a_hangup_on(
    tmp_path: Path, certificate: tuple[str, str], new_certificate: Callable[[str, str], None]
) -> None:
    with RegistryServer(tmp_path, "--tls-cert", certificate[0], "--tls-key", certificate[1]) as server:
        first = serial(server.port)
        new_certificate(*certificate)
        os.kill(server.pid, signal.SIGHUP)
        until(lambda: serial(server.port) != first)
        second = serial(server.port)
        Path(certificate[0]).write_text("broken")
        os.kill(server.pid, signal.SIGHUP)
        until(lambda: any("stays in force" in line for line in server.said))
        assert serial(server.port) == second
        with server.client() as client:
            client.image("a", "latest", os.urandom(3 << 20))
            assert client.ask("GET", "/v2/a/manifests/latest").status == 200


def test_a_client_is_told_why_the_certificate_is_not_trusted(
    tmp_path: Path, certificate: tuple[str, str]
) -> None:
    with RegistryServer(tmp_path, "--tls-cert", certificate[0], "--tls-key", certificate[1]) as server:
        told = pull(server.host, tmp_path / "config")
        assert "self-signed certificate" in told and "certs.d" in told
        trusted = tmp_path / "config/certs.d" / server.host
        trusted.mkdir(parents=True)
        expired(*certificate)
        (trusted / "ca.crt").write_text(Path(certificate[0]).read_text())
        os.kill(server.pid, signal.SIGHUP)
        until(lambda: "has expired" in pull(server.host, tmp_path / "config"))
        assert "clock" in pull(server.host, tmp_path / "config")


def pull(host: str, config: Path) -> str:
    with pytest.raises(LadingError) as caught:
        login.login(host, "a", "b", options=PullOptions(config=str(config)))
    return str(caught.value)


def expired(certificate: str, key: str) -> None:
    """A certificate for 127.0.0.1 that was good for a day in 2020."""
    made = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "old")])
    began = datetime.datetime(2020, 1, 1)
    signed = (
        x509.CertificateBuilder(name, name, made.public_key(), 1, began, began + datetime.timedelta(1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .sign(made, hashes.SHA256())
    )
    Path(certificate).write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    Path(key).write_bytes(made.private_bytes(serialization.Encoding.PEM, form, plain))


def test_old_tls_is_refused(tmp_path: Path, certificate: tuple[str, str]) -> None:
    flags = ("--tls-cert", certificate[0], "--tls-key", certificate[1], "--tls-min", "1.3")
    with RegistryServer(tmp_path, *flags) as server:
        context = ssl._create_unverified_context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with (
            socket.create_connection(("127.0.0.1", server.port)) as raw,
            pytest.raises((ssl.SSLError, OSError)),
        ):
            context.wrap_socket(raw)


def refused(*flags: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-m", "lading", "registry", "serve", *flags],
        env=dict(os.environ, PYTHONPATH=SOURCE),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 1
    assert ran.stderr.count("\n") == 1
    return ran.stderr


def test_what_cannot_be_served_is_said_in_a_line(tmp_path: Path, certificate: tuple[str, str]) -> None:
    storage = ("--storage", str(tmp_path / "s"))
    assert "--plain-http" in refused(*storage, "-l", "0.0.0.0:0")
    assert "--plain-http" in refused(*storage, "-l", ":0")
    assert "HOST:PORT" in refused(*storage, "-l", "nonsense")
    assert "together" in refused(*storage, "--tls-cert", certificate[0])
    assert "no certificate" in refused(*storage, "--tls-cert", certificate[1], "--tls-key", certificate[0])
    assert "none.pem" in refused(*storage, "--tls-cert", "none.pem", "--tls-key", certificate[1])
    assert "--htpasswd" in refused(*storage, "--auth", "token")
    assert "--mirror " in refused(*storage, "--mirror-insecure")
    assert "--mirror " in refused(*storage, "--mirror-max-size", "1g")
    assert "--read-only" in refused(*storage, "--mirror", "docker.io", "--read-only")
    assert "no file of passwords" in refused(*storage, "-l", "127.0.0.1:0", "--htpasswd", str(tmp_path / "x"))
    (tmp_path / "file").write_text("")
    assert "something else is there" in refused(*storage, "-l", f"unix:{tmp_path / 'file'}")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert "in use" in refused(*storage, "-l", f"127.0.0.1:{taken.getsockname()[1]}")


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


def test_it_listens_at_several_places_and_takes_its_socket_away(tmp_path: Path) -> None:
    path = str(tmp_path / "registry.sock")
    with RegistryServer(tmp_path, "-l", f"unix:{path}", "-l", "[::1]:0") as server:
        until(lambda: sum("listening" in line for line in server.said) == 3)
        connection = _UnixConnection(path)
        connection.request("GET", "/v2/")
        assert connection.getresponse().status == 200
        connection.close()
    assert not os.path.exists(path)


def test_a_socket_that_a_killed_server_left_is_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "registry.sock")
    server = RegistryServer(tmp_path, "-l", f"unix:{path}").start()
    until(lambda: os.path.exists(path))
    server.kill()
    with RegistryServer(tmp_path, "-l", f"unix:{path}") as server:
        until(lambda: sum("listening" in line for line in server.said) == 2)
        assert any("already" in line for line in refused("-l", f"unix:{path}").splitlines())


def test_a_service_manager_hands_over_sockets_and_hears_when_it_is_ready(tmp_path: Path) -> None:
    notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notices.bind(str(tmp_path / "notify"))
    notices.settimeout(60)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        code = (
            "import os, sys\n"
            "os.dup2(int(sys.argv[1]), 3)\n"
            "os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()), NOTIFY_SOCKET=sys.argv[2])\n"
            "os.execv(sys.executable, [sys.executable, '-m', 'lading', 'registry', 'serve', '--storage', sys.argv[3]])"
        )
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                code,
                str(listening.fileno()),
                str(tmp_path / "notify"),
                str(tmp_path / "s"),
            ],
            env=dict(os.environ, PYTHONPATH=SOURCE),
            pass_fds=[listening.fileno()],
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
    try:
        assert notices.recv(100) == b"READY=1"
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", "/v2/")
        assert connection.getresponse().status == 200
        connection.close()
        process.send_signal(signal.SIGTERM)
        assert notices.recv(100) == b"STOPPING=1"
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait(60)
        notices.close()


def test_what_is_being_answered_when_it_is_told_to_stop_is_answered(tmp_path: Path) -> None:
    data = os.urandom(1 << 20)
    server = RegistryServer(tmp_path).start()
    with server.client() as client:
        where = client.begin("a")
        connection = client.connection
        connection.putrequest("PUT", f"{where}?digest={digest_of(data)}")
        connection.putheader("Content-Length", str(len(data)))
        connection.endheaders()
        connection.send(data[:1000])
        os.kill(server.pid, signal.SIGTERM)
        time.sleep(0.3)
        connection.send(data[1000:])
        assert connection.getresponse().status == 201
    assert server.wait() == 0


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_kill_in_the_middle_of_two_hundred_uploads_loses_nothing_acknowledged(tmp_path: Path) -> None:
    server = RegistryServer(tmp_path).start()
    acknowledged: set[str] = set()
    begun: dict[str, bytes] = {}
    lock = threading.Lock()
    dead = threading.Event()
    everybody = threading.Barrier(16)

    def work(number: int) -> None:
        client = server.client()
        try:
            for turn in range(13):
                data = os.urandom(200_000 if turn % 4 == 0 else 2000)
                where = client.begin(f"r{number}")
                half = client.ask("PATCH", where, data[:1000])
                assert half.status == 202
                with lock:
                    begun[where] = data
                if turn == 0:
                    everybody.wait(60)
                    continue  # nobody finishes it before the kill
                answer = client.ask("PUT", f"{where}?digest={digest_of(data)}", data[1000:])
                assert answer.status == 201
                with lock:
                    acknowledged.add(f"/v2/r{number}/blobs/{digest_of(data)}")
                    del begun[where]
                    if len(acknowledged) > 100 and not dead.is_set():
                        dead.set()
                        server.kill()
        except (OSError, http.client.HTTPException):
            assert dead.is_set()
        finally:
            client.connection.close()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert dead.is_set()
    with server, server.client() as client:
        for path in acknowledged:
            answer = client.ask("GET", path)
            assert answer.status == 200
            assert digest_of(answer.body) == path.rpartition("/")[2]
        resumed = 0
        for where, data in begun.items():
            state = client.ask("GET", where)
            if state.status == 404:
                # It was finished, and only the answer was lost.
                path = f"{where.partition('/uploads/')[0]}/{digest_of(data)}"
                assert client.ask("GET", path).body == data
                continue
            start = int(state.headers["range"].partition("-")[2]) + 1
            answer = client.ask("PUT", f"{where}?digest={digest_of(data)}", data[start:])
            assert answer.status == 201
            resumed += 1
        assert resumed >= 16
    store = Store(str(server.storage))
    assert check(store, repair=False) == []
    store.close()


def test_garbage_is_collected_again_after_a_collection_that_failed(tmp_path: Path) -> None:
    def counted(what: str) -> bool:
        with server.client() as client:
            lines = client.ask("GET", "/metrics").body.decode().splitlines()
        return any(
            line.startswith(f"lading_registry_gc_{what}_total ") and line.split()[1] != "0" for line in lines
        )

    with RegistryServer(tmp_path, "--gc-interval", "1s") as server:
        lock = tmp_path / "storage/registry/gc.lock"
        until(lambda: counted("runs"))
        lock.unlink()
        lock.mkdir()
        until(lambda: counted("failures"))
        until(lambda: any("garbage stays" in line for line in server.said))
        lock.rmdir()
        (tmp_path / "storage/registry/uploads/put.x").touch()
        os.utime(tmp_path / "storage/registry/uploads/put.x", (0, 0))
        until(lambda: counted("removed_uploads"))


def lading(server: RegistryServer, *words: str) -> str:
    command = (sys.executable, "-m", "lading", "registry", *words, "--storage", str(server.storage))
    return subprocess.run(command, env=server.env, check=True, capture_output=True, text=True).stdout


def test_a_frozen_registry_gives_and_takes_nothing_until_it_thaws(tmp_path: Path) -> None:
    flags = ("--gc-interval", "50ms")
    with RegistryServer(tmp_path, *flags) as server, server.client() as client:
        digest = client.image("a", "latest", b"layer")
        where = client.begin("a")
        lading(server, "freeze", "we move to another disk")
        for method, path in (
            ("POST", "/v2/a/blobs/uploads/"),
            ("PATCH", where),
            ("DELETE", where),
            ("PUT", "/v2/a/manifests/other"),
            ("DELETE", f"/v2/a/manifests/{digest}"),
            ("DELETE", f"/v2/a/blobs/{digest_of(b'layer')}"),
        ):
            answer = client.ask(method, path)
            assert (answer.status, answer.code, answer.headers["retry-after"]) == (503, "UNAVAILABLE", "30")
            assert "we move to another disk" in answer.json["errors"][0]["message"]
        assert client.ask("GET", where).status == 204
        assert client.ask("GET", "/v2/a/manifests/latest").status == 200
        text = client.ask("GET", "/metrics").body.decode()
        assert "lading_registry_read_only 1\n" in text
        before = re.search("gc_runs_total ([0-9]+)", text)
        time.sleep(0.3)
        after = re.search("gc_runs_total ([0-9]+)", client.ask("GET", "/metrics").body.decode())
        assert before is not None and after is not None and int(after[1]) - int(before[1]) <= 1
        lading(server, "thaw")
        assert client.ask("DELETE", f"/v2/a/manifests/{digest}").status == 202


def test_a_registry_that_is_read_only_refuses_what_would_change_it(tmp_path: Path) -> None:
    with RegistryServer(tmp_path) as server, server.client() as client:
        client.image("a", "latest", b"layer")
    with RegistryServer(tmp_path, "--read-only") as server, server.client() as client:
        assert client.ask("GET", "/v2/a/manifests/latest").status == 200
        for method, path in (("POST", "/v2/a/blobs/uploads/"), ("DELETE", "/v2/a/manifests/latest")):
            answer = client.ask(method, path)
            assert (answer.status, answer.code) == (405, "UNSUPPORTED")


def test_a_registry_with_a_store_of_its_own_needs_no_right_at_all() -> None:
    """As a unit of systemd with a user of its own, no new privileges and nothing to write but the store would run it."""
    base = Path(tempfile.mkdtemp(prefix="registry-", dir="/tmp"))
    script = (
        'mount --make-rprivate / && mount --bind / / && mount -o remount,bind,ro / && mount --bind "$0" "$0" && '
        'mount -o remount,bind,rw "$0" && cd / && exec setpriv --reuid 65534 --regid 65534 --clear-groups '
        '--no-new-privs --bounding-set=-all "$@"'
    )
    try:
        storage = base / "storage"
        storage.mkdir()
        os.chown(storage, 65534, 65534)
        os.chmod(base, 0o755)
        server = RegistryServer(base, prefix=("unshare", "-m", "sh", "-c", script, str(storage)))
        with server, server.client() as client:
            assert os.stat(f"/proc/{server.pid}").st_uid == 65534
            assert os.readlink(f"/proc/{server.pid}/ns/user") == os.readlink("/proc/self/ns/user")
            client.image("a", "latest", b"layer")
            assert client.ask("GET", "/v2/a/manifests/latest").status == 200
    finally:
        shutil.rmtree(base)
