"""``make demo``: from Debian packages to running pods, step by step, with the public command line and nothing else.

Everything happens below ``.work/demo``: images, records and logs of the user's own Lading are not touched. Each step
prints the commands it types. The first failure ends the demo with a non-zero status, after cleaning up.
"""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import standing

from lading.roots import Roots

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / ".work" / "demo"
LADING = Path(sys.executable).parent / "lading"

POD = """\
apiVersion: v1
kind: Pod
metadata:
  name: pair
spec:
  restartPolicy: Never
  volumes:
  - name: shared
    emptyDir: {}
  containers:
  - name: writer
    image: busybox
    command: [sh, -c, 'echo "written by $HOSTNAME" > /shared/note; echo "wrote the note"']
    volumeMounts:
    - {name: shared, mountPath: /shared}
  - name: reader
    image: busybox
    command: [sh, -c, 'until [ -s /data/note ]; do sleep 0.1; done; echo "read: $(cat /data/note)"']
    volumeMounts:
    - {name: shared, mountPath: /data, readOnly: true}
"""


PACKAGES = "nginx-light,postgresql,python3-psycopg2"
EXAMPLE = ROOT / "examples" / "notes"


class StepFailed(Exception):
    """A command of the demo did not do what it should; the message says which."""


def environment() -> dict[str, str]:
    """Lading with roots of the demo's own."""
    return dict(
        os.environ,
        PATH=f"{LADING.parent}:{os.environ['PATH']}",
        LADING_ROOT=str(WORK / "data"),
        LADING_RUN=str(WORK / "run"),
        LADING_CONFIG=str(WORK / "config"),
    )


def heading(text: str) -> None:
    """Announce a step."""
    print(f"\n== {text}", flush=True)


def lading(
    *words: str, quiet: bool = False, timeout: float = 600.0, env: dict[str, str] | None = None
) -> str:
    """Type one ``lading`` command, show it and what it prints. Raises :class:`StepFailed` on a bad status.

    ``env``: variables that it gets besides.
    """
    print(f"$ lading {shlex.join(words)}", flush=True)
    started = time.monotonic()
    try:
        done = subprocess.run(
            [str(LADING), *words], env={**environment(), **(env or {})}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, text=True, check=False, timeout=timeout,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise StepFailed(f"lading {words[0]} did not end within {timeout:.0f} s") from None
    elapsed = time.monotonic() - started
    if done.stdout and not quiet:
        print(done.stdout, end="" if done.stdout.endswith("\n") else "\n")
    if done.returncode != 0:
        raise StepFailed(f"lading {shlex.join(words)} exited {done.returncode}")
    print(f"  ({elapsed * 1000:.0f} ms)" if elapsed < 10 else f"  ({elapsed:.1f} s)", flush=True)
    return done.stdout


def expect(text: str, wanted: str, what: str) -> None:
    """Raises :class:`StepFailed` unless ``wanted`` is in ``text``."""
    if wanted not in text:
        raise StepFailed(f"{what}: expected {wanted!r}, found {text.strip()[:200]!r}")


def base_images() -> None:
    """A tiny image and a Debian one, out of Debian packages."""
    heading("Base images, out of Debian packages: no registry is needed")
    lading("bootstrap", "busybox")
    lading("bootstrap", "debian:bookworm")
    lading("images")


def first_container() -> None:
    """A container that prints the release."""
    heading("A container that prints the release")
    said = lading(
        "run",
        "--rm",
        "debian:bookworm",
        "sh",
        "-c",
        '. /etc/os-release; echo "$PRETTY_NAME"; hostname; id -un',
    )
    expect(said, "Debian GNU/Linux 12", "the release")


def fetch(url: str, seconds: float = 15.0) -> str:
    """GET ``url``, trying until the server is up."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + seconds
    while True:
        try:
            with opener.open(url, timeout=5) as answer:
                return bytes(answer.read()).decode(errors="replace")
        except (urllib.error.URLError, OSError) as error:
            if time.monotonic() > deadline:
                raise StepFailed(f"GET {url}: {error}") from None
            time.sleep(0.1)


def free_port() -> int:
    """A port that nobody uses at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def web_server() -> None:
    """nginx from Debian, published on a port, fetched, its log shown."""
    heading("nginx from Debian's packages, published on a port")
    lading("bootstrap", "debian:bookworm", "--include", PACKAGES)
    lading("tag", "debian:bookworm", "nginx")
    port = free_port()
    lading("run", "-d", "--name", "web", "-p", f"127.0.0.1:{port}:80", "nginx", "nginx", "-g", "daemon off;")
    print(f"$ GET http://127.0.0.1:{port}/")
    page = fetch(f"http://127.0.0.1:{port}/")
    expect(page, "Welcome to nginx", "the page")
    print(next(line.strip() for line in page.splitlines() if "Welcome" in line))
    lading("exec", "web", "tail", "-n", "1", "/var/log/nginx/access.log")
    lading("ps")
    lading("rm", "-f", "web")


def pod() -> None:
    """Two containers that share a network, a host name and a volume."""
    heading("A pod: two containers, one volume")
    manifest = WORK / "pod.yaml"
    manifest.write_text(POD)
    print("$ cat pod.yaml\n" + "".join(f"  {line}\n" for line in POD.splitlines()))
    lading("pod", "run", str(manifest))
    lading("pod", "wait", "pair")
    said = lading("pod", "logs", "pair")
    expect(said, "read: written by pair", "the reader's log")
    lading("pod", "ps", "-a")
    lading("pod", "rm", "pair")


def application() -> None:
    """Three images built, pushed to a registry of ours, pulled back, and run as one application whose data stays."""
    heading("An application: built, shipped through a registry of its own, run from a Compose file")
    address = f"127.0.0.1:{free_port()}"
    words = [str(LADING), "registry", "serve", "--listen", address, "--access-log", "none"]
    words += ["--storage", str(WORK / "registry")]
    print(f"$ lading {shlex.join(words[1:])} &", flush=True)
    with (WORK / "registry.log").open("w") as log:
        registry = subprocess.Popen(
            words, env=environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    port = free_port()
    said = {"REGISTRY": f"{address}/", "NOTES_PASSWORD": os.urandom(8).hex(), "PORT": str(port)}
    compose = ["compose", "-f", str(EXAMPLE / "compose.yaml")]
    try:
        fetch(f"http://{address}/v2/")
        for verb in (["build", "-q"], ["push", "-q"]):
            lading(*compose, *verb, env=said)
        lading("rmi", *(f"{address}/notes-{name}" for name in ("db", "app", "web")), quiet=True)
        lading(*compose, "pull", "-q", env=said)
        lading(*compose, "up", "-d", env=said)
        lading(*compose, "ps", env=said)
        page = f"http://127.0.0.1:{port}/"
        print(f"$ POST {page} text=kept")
        urllib.request.urlopen(urllib.request.Request(page, b"text=kept"), timeout=30).read()
        lading(*compose, "down", env=said)
        lading(*compose, "up", "-d", env=said)
        print(f"$ GET {page}")
        found = fetch(page)
        print(found)
        expect(found, "<li>kept</li>", "the note, after the database was made anew on its volume")
    finally:
        try:
            lading(*compose, "down", "-v", env=said)
        finally:
            registry.terminate()
            registry.wait(30)


def timings() -> None:
    """The first lines of the benchmark, with the ratio to docker where docker is installed."""
    heading("How long does it take, and how long elsewhere?")
    if shutil.which("dockerd", path=os.environ["PATH"] + ":/usr/sbin:/sbin") is None:
        print("docker is not installed: no ratio to it; `apt-get install docker.io` and run the demo again")
    status = subprocess.call(
        [sys.executable, "-m", "benchmarks", "--case", "run-bridge,run-none", "--rounds", "5"],
        cwd=ROOT, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    if status != 0:
        raise StepFailed("the comparison ended with an error")


def remove_pods() -> None:
    """Every pod and container of the demo's roots, running or not."""
    for kind in (("pod",), ()):
        listed = subprocess.run(
            [str(LADING), *kind, "ps", "-aq"], env=environment(), stdin=subprocess.DEVNULL, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        for identifier in listed.stdout.split():
            lading(*kind, "rm", "-f", identifier, quiet=True)


def clean() -> list[str]:
    """Remove every pod of the demo, then its directories; what Lading itself finds left over."""
    heading("Cleaning up")
    left: list[str] = []
    remove_pods()
    lading("check")
    standing.remove(Roots.default(environment()).tag)
    with Path("/proc/self/mountinfo").open() as file:
        left += [f"mount {line.split()[4]}" for line in file if f" {WORK}/" in line]
    shutil.rmtree(WORK, ignore_errors=True)
    return left


def main() -> int:
    """Every step in order; cleans up whatever happens."""
    if os.geteuid() != 0:
        print("demo: needs root for its bridge and its published port", file=sys.stderr)
        return 1
    started = time.monotonic()
    status = 0
    if WORK.exists():  # of a demo that was killed
        try:
            remove_pods()
        except StepFailed as failure:
            print(f"demo: {failure}", file=sys.stderr)
        shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        [str(LADING), "check", "--repair", "-q"], env=environment(), stdin=subprocess.DEVNULL, check=False
    )
    try:
        for step in (base_images, first_container, web_server, pod, application, timings):
            step()
    except StepFailed as failure:
        print(f"demo: FAILED: {failure}", file=sys.stderr)
        status = 1
    except KeyboardInterrupt:
        status = 130
    try:
        left = clean()
    except (StepFailed, OSError) as failure:
        left = [str(failure)]
    if left:
        print("demo: left behind: " + "; ".join(left), file=sys.stderr)
        status = status or 1
    verdict = "done" if status == 0 else "FAILED"
    print(f"\ndemo: {verdict} in {time.monotonic() - started:.0f} s", flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
