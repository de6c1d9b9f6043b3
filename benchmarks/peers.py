"""The contenders' command lines, and the daemons that some of them need.

Every peer gets data directories of its own below ``.work/bench`` and is stopped by the process id that started it. The
whole benchmark runs in a mount and a network namespace of its own, so that bridges and rules vanish with it.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks import material, mirror
from benchmarks.harness import Failed, output, version_of, wait_for
from lading.roots import Roots

CGROUP = "lading-bench"
"""Parent of the peers' cgroups, where they let one choose it; removed at the end."""


def which(name: str) -> str:
    """Absolute path of a tool, looked for where Debian keeps daemons too; empty when it is missing."""
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/local/sbin") or ""


class Daemon:
    """A process of ours that has to be up while others are measured."""

    def __init__(self, command: list[str], log: Path, env: dict[str, str] | None = None) -> None:
        self.log = log
        self._file = log.open("wb")
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=self._file,
            stderr=self._file,
            env=env,
            start_new_session=True,
        )

    def wait(self, ready: Callable[[], bool], what: str) -> None:
        """Until ``ready`` or the process ends, which raises :class:`Failed` with its last words."""

        def check() -> bool:
            if self.process.poll() is not None:
                raise Failed(
                    f"{what} ended: {(self.log.read_text().strip().splitlines() or ['silent'])[-1][-300:]}"
                )
            return ready()

        wait_for(check, what, 40.0)

    def stop(self) -> None:
        """Ask, wait, kill."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.send_signal(signal.SIGKILL)
                self.process.wait(10)
        self._file.close()


class Bench:
    """The shared surroundings of all cases: directories, peers' command lines, daemons that start on first use."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self.state = work / f"run-{os.getpid()}"
        self.state.mkdir(parents=True)
        self._short = Path(tempfile.mkdtemp(prefix="lb-"))
        self._docker: Daemon | None = None
        self._docker_problem = ""
        self._registry: Daemon | None = None
        self._podman_ready = False
        self._lading_ready = False
        self._tags: set[str] = set()
        self.registry_port = 5055
        self._mirror: mirror.Mirror | None = None

    # -- Lading --------------------------------------------------------------------------------------------------

    def lading_env(self, root: str = "lading") -> dict[str, str]:
        """An environment with roots of its own: data, run and configuration below ``root``."""
        base = self.state / root
        self._tags.add(Roots(str(base / "data"), "", "", 0).tag)
        return dict(
            os.environ,
            LADING_ROOT=str(base / "data"),
            LADING_RUN=str(base / "run"),
            LADING_CONFIG=str(base / "config"),
        )

    @property
    def lading(self) -> str:
        """The installed command; the one beside this interpreter."""
        return str(Path(sys.executable).parent / "lading")

    def lading_image(self) -> None:
        """Import the busybox image once."""
        if not self._lading_ready:
            output(
                [self.lading, "import", str(material.busybox_tar(self.work)), material.BUSYBOX],
                env=self.lading_env(),
            )
            self._lading_ready = True

    # -- docker --------------------------------------------------------------------------------------------------

    @property
    def docker_env(self) -> dict[str, str]:
        """The client's environment: our socket, no configuration of the user's."""
        config = self.state / "docker-config"
        config.mkdir(exist_ok=True)
        return dict(os.environ, DOCKER_HOST=f"unix://{self.state}/docker.sock", DOCKER_CONFIG=str(config))

    def docker_missing(self) -> str:
        """Why docker cannot take part; starts a private daemon the first time."""
        if not which("dockerd") or not which("docker"):
            return "not installed"
        if self._docker is None and not self._docker_problem:
            try:
                self._start_docker()
            except Failed as error:
                self._docker_problem = f"no daemon: {error}"
        return self._docker_problem

    def _start_docker(self) -> None:
        command = [which("dockerd"), "--host", f"unix://{self.state}/docker.sock", "--data-root", str(self.state / "docker"),
                   "--exec-root", str(self.state / "docker-exec"), "--pidfile", str(self.state / "docker.pid"),
                   "--cgroup-parent", f"/{CGROUP}", "--insecure-registry", f"127.0.0.1:{self.registry_port}"]  # fmt: skip
        env = dict(os.environ, PATH=os.environ["PATH"] + ":/usr/sbin:/sbin", DOCKER_RAMDISK="1")
        self._docker = Daemon(command, self.state / "dockerd.log", env)
        try:
            self._docker.wait(
                lambda: (self.state / "docker.sock").exists() and bool(version_of_docker(self.docker_env)),
                "dockerd",
            )
            tar = str(material.busybox_tar(self.work))
            output(["docker", "import", tar, material.BUSYBOX], env=self.docker_env)
        except Failed:
            self._docker.stop()
            self._docker = None
            raise

    # -- podman --------------------------------------------------------------------------------------------------

    def podman(self, *words: str, root: str = "podman") -> list[str]:
        """A podman command line with storage of its own; runc, because crun refuses hybrid cgroups."""
        base = self.state / root
        # Podman refuses a run root of more than 50 characters, and a checkout may lie deep.
        short = self._short / root
        return ["podman", "--root", str(base / "storage"), "--runroot", str(short), "--tmpdir", str(base / "tmp"),
                "--cgroup-manager", "cgroupfs", "--runtime", "runc", *words]  # fmt: skip

    def podman_run(self, *words: str) -> list[str]:
        """``podman run`` with limits that a process without CAP_SYS_RESOURCE may set."""
        return self.podman("run", "--ulimit", "nofile=20000:20000", "--ulimit", "nproc=1000:1000",
                           "--cgroup-parent", f"/{CGROUP}", *words)  # fmt: skip

    def buildah(self, command: str, *words: str) -> list[str]:
        """A buildah command line on podman's storage."""
        podman = self.podman()
        return ["buildah", *podman[1:5], command, "--isolation", "chroot", *words]

    def mirror(self) -> mirror.Mirror:
        """A Debian mirror that all contenders' containers reach; started on first use."""
        if self._mirror is None:
            self._mirror = mirror.serve(self.work)
        return self._mirror

    def podman_missing(self) -> str:
        """Why podman cannot take part; imports the busybox image the first time."""
        if not which("podman") or not which("runc"):
            return "not installed"
        if not self._podman_ready:
            try:
                output(self.podman("import", "-q", str(material.busybox_tar(self.work)), material.BUSYBOX))
            except Failed as error:
                return str(error)
            self._podman_ready = True
        return ""

    # -- the local registry --------------------------------------------------------------------------------------

    def registry(self) -> str:
        """``HOST:PORT`` of a registry that holds the Debian image; started on first use."""
        address = f"127.0.0.1:{self.registry_port}"
        if self._registry is None:
            binary = which("docker-registry")
            if not binary:
                raise Failed("docker-registry is not installed")
            if not which("skopeo"):
                raise Failed("skopeo is not installed")
            config = self.state / "registry.yml"
            config.write_text(
                f"version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem:\n    rootdirectory: {self.state}/registry\n"
                f"http:\n  addr: {address}\n"
            )
            self._registry = Daemon([binary, "serve", str(config)], self.state / "registry.log")
            self._registry.wait(lambda: _listening(self.registry_port), "docker-registry")
            layout = material.oci_layout(self.work, material.debian_tar(self.work), "debian")
            output(
                [
                    "skopeo",
                    "copy",
                    "-q",
                    "--dest-tls-verify=false",
                    f"oci:{layout}:latest",
                    f"docker://{address}/debian:latest",
                ]
            )
        return address

    # -- ending --------------------------------------------------------------------------------------------------

    def versions(self) -> dict[str, str]:
        """Peer → version, or ``missing``."""
        found = {
            "lading": version_of(self.lading, "--version"),
            "docker": version_of_docker(self.docker_env)
            if self._docker
            else version_of("dockerd", "--version"),
            "podman": version_of("podman", "--version"),
            "runc": version_of("runc", "--version"),
            "crun": version_of("crun", "--version"),
            "umoci": version_of("umoci", "--version"),
            "registry": version_of("docker-registry", "--version"),
            "iperf3": version_of("iperf3", "--version"),
        }
        return {name: version or "missing" for name, version in found.items()}

    def close(self) -> None:
        """Stop what was started, remove what was made. The namespaces take links, rules and mounts with them."""
        if self._lading_ready:
            listed = subprocess.run([self.lading, "ps", "-aq"], env=self.lading_env(), check=False,
                                    capture_output=True, text=True)  # fmt: skip
            for identifier in listed.stdout.split():
                subprocess.run(
                    [self.lading, "rm", "-f", identifier],
                    env=self.lading_env(),
                    check=False,
                    capture_output=True,
                )
        if self._mirror is not None:
            self._mirror.stop()
        for daemon in (self._docker, self._registry):
            if daemon is not None:
                daemon.stop()
        for directory in (self._short, self.state):
            _unmount_below(directory)
            shutil.rmtree(directory, ignore_errors=True)
        for name in (CGROUP, *self._tags):
            _remove_cgroups(name)


def version_of_docker(env: dict[str, str]) -> str:
    """The server's version; empty while it is not up."""
    try:
        return output(["docker", "version", "--format", "{{.Server.Version}}"], env=env).strip()
    except Failed:
        return ""


def _listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _unmount_below(directory: Path) -> None:
    """Peers that were killed leave overlays mounted; they must go before their files can."""
    with Path("/proc/self/mountinfo").open() as file:
        points = [line.split()[4] for line in file]
    for point in sorted((p for p in points if p.startswith(f"{directory}/")), reverse=True):
        subprocess.run(["umount", "-l", point], check=False, capture_output=True)


def remove_pretended_groups(mount: str, name: str) -> None:
    """Remove what podman leaves of the group ``name`` where no hierarchy is mounted.

    It makes directories and writes pids into files ``tasks`` for every controller it has heard of, there or not: on the
    tmpfs that carries the hierarchies of version 1 they stay.
    """
    for entry in os.scandir(mount):
        if entry.is_dir(follow_symlinks=False) and not os.path.ismount(entry.path):
            shutil.rmtree(f"{entry.path}/{name}", ignore_errors=True)
            try:
                os.rmdir(entry.path)
            except OSError:
                continue  # somebody else's are in it


def _remove_cgroups(name: str) -> None:
    """Remove the empty groups called ``name`` and what is below them, in every hierarchy."""
    for top, directories, _ in os.walk("/sys/fs/cgroup"):
        if name in directories:
            directories.remove(name)
            for directory, _, _ in os.walk(f"{top}/{name}", topdown=False):
                try:
                    os.rmdir(directory)
                except OSError:
                    continue
    remove_pretended_groups("/sys/fs/cgroup", name)
