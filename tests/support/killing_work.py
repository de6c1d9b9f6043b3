"""What the workers of a kill round do: short stories on the command line, each with names of its own.

Every worker keeps a book of what *has to* exist: written after a command said so by its exit status, struck out before a
command is asked to remove it. What lies between is allowed to be there or not.
"""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable
from pathlib import Path

from support.killing import Broken, World

POD = """
apiVersion: v1
kind: Pod
metadata: {name: NAME}
spec:
  hostUsers: true
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  initContainers:
  - {name: first, image: busybox, command: [sh, -c, "echo first > /mem/x"], volumeMounts: [{name: mem, mountPath: /mem}]}
  containers:
  - {name: one, image: busybox, command: [sleep, "600"], volumeMounts: [{name: mem, mountPath: /mem}]}
  - {name: two, image: busybox, command: [sleep, "600"], volumeMounts: [{name: disk, mountPath: /disk}]}
  volumes:
  - {name: mem, emptyDir: {medium: Memory}}
  - {name: disk, emptyDir: {}}
"""


def own_users(manifest: str) -> str:
    """The same pod with users of its own, and a pause process among them."""
    return manifest.replace("hostUsers: true", "hostUsers: false\n  shareProcessNamespace: true")


class Worker(threading.Thread):
    """One user at the command line, until told to stop."""

    def __init__(self, world: World, dice: random.Random, name: str, registry: str) -> None:
        super().__init__(daemon=True)
        self.world = world
        self.dice = dice
        self.label = name
        self.registry = registry
        self.stop = threading.Event()
        self.book: dict[tuple[str, str], str] = {}
        self.error: BaseException | None = None
        self.stories = 0
        self.commands = 0

    def run(self) -> None:
        stories: list[Callable[[str], None]] = [
            self.foreground,
            self.detached,
            self.created,
            self.volume,
            self.network,
            self.connected,
            self.pod,
            self.pulled,
            self.committed,
            self.runtime,
            self.restarted,
        ]
        try:
            while not self.stop.is_set():
                self.stories += 1
                self.dice.choice(stories)(f"{self.label}-{self.stories}")
        except BaseException as error:
            self.error = error

    def do(self, *words: str, program: str = "lading") -> bool:
        """One command; whether it succeeded. Any failure is allowed here: somebody is shooting."""
        if self.stop.is_set():
            return False
        self.commands += 1
        done = self.world(*words, program=program)
        if "internal error" in done.stderr or "Traceback" in done.stderr:
            raise Broken(f"{program} {' '.join(words)}: {done.stderr}")
        return done.returncode == 0

    def made(self, kind: str, name: str, *words: str, content: str = "") -> bool:
        """A command that, where it succeeds, leaves ``name``."""
        if not self.do(*words):
            return False
        self.book[kind, name] = content
        return True

    def gone(self, kind: str, name: str, *words: str) -> bool:
        """A command that removes ``name``."""
        self.book.pop((kind, name), None)
        return self.do(*words)

    # -- the stories -------------------------------------------------------------------------------------------------

    def foreground(self, name: str) -> None:
        network = self.dice.choice(["none", "bridge", "host"])
        users = self._users() if network != "host" else []
        self.do("run", "--rm", "--name", name, "--network", network, *users, "busybox", "true")

    def _users(self) -> list[str]:
        """Sometimes users of its own."""
        return ["--userns", self.dice.choice(["auto", "host"])]

    def detached(self, name: str) -> None:
        publish = ["-p", "127.0.0.1::80"] if self.dice.random() < 0.5 else ["--network", "none"]
        publish += self._users()
        self.made("container", name, "run", "-d", *publish, "--name", name, "busybox", "sleep", "600")
        self.do("exec", name, "sh", "-c", "echo x > /x")
        self.do("stop", "-t", "0", name)
        self.do("start", name)
        self.do("cp", f"{name}:/etc/hostname", f"{self.world.base}/{name}")
        self.gone("container", name, "rm", "-f", name)

    def created(self, name: str) -> None:
        self.made(
            "container", name, "create", "--name", name, "-v", "/anonymous", "busybox", "sh", "-c", "exit 7"
        )
        self.do("start", name)
        self.do("wait", name)
        self.do("logs", name)
        self.gone("container", name, "rm", "-v", name)

    def volume(self, name: str) -> None:
        if self.made("volume", name, "volume", "create", name):
            command = (
                "run",
                "--rm",
                "-v",
                f"{name}:/etc",
                "busybox",
                "sh",
                "-c",
                f"echo {name} > /etc/written",
            )
            self.made("volume", name, *command, content=name)
        self.gone("volume", name, "volume", "rm", name)

    def network(self, name: str) -> None:
        self.made("network", name, "network", "create", name)
        self.do("run", "--rm", "--network", name, "--name", name, "busybox", "true")
        self.gone("network", name, "network", "rm", name)

    def connected(self, name: str) -> None:
        self.made("network", name, "network", "create", name)
        self.made("container", name, "run", "-d", "--name", name, "busybox", "sleep", "600")
        self.do("network", "connect", name, name)
        self.do("network", "disconnect", name, name)
        self.gone("container", name, "rm", "-f", name)
        self.gone("network", name, "network", "rm", name)

    def pod(self, name: str) -> None:
        file = Path(self.world.base, f"{name}.yaml")
        manifest = POD.replace("NAME", name)
        file.write_text(own_users(manifest) if self.dice.random() < 0.5 else manifest)
        self.made("pod", name, "pod", "run", str(file))
        self.do("pod", "exec", name, "-c", "one", "--", "cat", "/mem/x")
        self.do("pod", "stop", "-t", "0", name)
        self.gone("pod", name, "pod", "rm", "-f", name)

    def pulled(self, name: str) -> None:
        reference = f"{self.registry}/big:{self.label}"
        self.made("image", reference, "pull", "-q", reference)
        self.do("run", "--rm", "--network", "none", reference, "true")
        self.gone("image", reference, "rmi", reference)

    def committed(self, name: str) -> None:
        self.made(
            "container", name, "run", "-d", "--network", "none", "--name", name, "busybox", "sleep", "600"
        )
        self.do("exec", name, "sh", "-c", "echo x > /x")
        self.made("image", f"localhost/{name}:latest", "commit", name, f"localhost/{name}:latest")
        self.gone("container", name, "rm", "-f", name)
        self.do("run", "--rm", "--network", "none", f"localhost/{name}:latest", "cat", "/x")
        self.gone("image", f"localhost/{name}:latest", "rmi", f"localhost/{name}:latest")

    def restarted(self, name: str) -> None:
        self.made(
            "container", name, "run", "-d", "--restart", "always", "--name", name, "busybox", "sleep", "0.2"
        )  # fmt: skip
        self.do("pause", name)
        self.do("unpause", name)
        self.do("restart", "-t", "0", name)
        self.do("update", "--pids-limit", "100", name)
        content = self.book.pop(("container", name), None)
        renamed = f"{name}-b"
        if self.do("rename", name, renamed) and content is not None:
            self.book["container", renamed] = content
        if not self.gone("container", renamed, "rm", "-f", renamed):
            self.gone("container", name, "rm", "-f", name)

    def runtime(self, name: str) -> None:
        bundle = Path(self.world.base, "bundle")
        own = f"rt-{self.world.tag}-{name}"
        root = ("--root", f"{self.world.base}/rt")
        if self.do(*root, "create", "--bundle", str(bundle), own, program="lading-runtime"):
            self.do(*root, "start", own, program="lading-runtime")
        self.do(*root, "state", own, program="lading-runtime")
        self.do(*root, "delete", "--force", own, program="lading-runtime")


def bundle(world: World) -> None:
    """A bundle for ``lading-runtime``, of the image's files."""
    place = Path(world.base, "bundle")
    (place / "rootfs").mkdir(parents=True, exist_ok=True)
    world.must("create", "--name", "bundle", "busybox")
    archive = Path(world.base, "bundle.tar")
    world.must("export", "-o", str(archive), "bundle")
    world.must("rm", "bundle")
    import tarfile

    with tarfile.open(archive) as opened:
        opened.extraction_filter = lambda member, _where: member
        opened.extractall(place / "rootfs")
    kinds = ("pid", "mount", "uts", "ipc", "network")
    value = {
        "ociVersion": "1.2.0",
        "root": {"path": "rootfs"},
        "process": {
            "args": ["sleep", "600"],
            "cwd": "/",
            "env": ["PATH=/bin:/usr/bin"],
            "user": {"uid": 0, "gid": 0},
        },
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
        "linux": {"namespaces": [{"type": kind} for kind in kinds]},
    }
    (place / "config.json").write_text(json.dumps(value))
