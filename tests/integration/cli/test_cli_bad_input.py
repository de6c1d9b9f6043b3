"""Bad input for every command: the right status, one clear line on standard error, nothing left behind."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.root

ABSENT = "nothing-of-this-name"
WRONG: list[tuple[str, int]] = [
    # run and create: 125 whatever is wrong
    ("run", 125), ("run --nope busybox", 125), ("run --gpus all busybox", 125), ("run -p x busybox", 125),
    ("run -v x busybox", 125), ("run --pull never nothing-here", 125), ("run UPPER", 125), ("run --memory x busybox", 125),
    ("run --network nothing-here --rm busybox true", 125), ("run --cidfile /nowhere/x busybox", 125),
    ("run --rm --restart always busybox", 125), ("run --rm busybox nothing-here", 127), ("run --rm busybox /etc", 126),
    ("run --user nobody-here --rm busybox true", 125), ("run --device /dev/nothing-here --rm busybox true", 125),
    ("run --volumes-from nothing-here busybox", 125), ("run --env-file /nothing-here busybox", 125),
    ("run --network container:nothing-here --rm busybox true", 125), ("run -d --attach stdin busybox", 125),
    ("create", 125), ("create --pull never nothing-here", 1), ("create --link a busybox", 125),
    # the others: 125 for the command line, 1 for what it asks
    ("", 0), ("frobnicate", 125), ("--nope ps", 125), ("swarm init", 125), ("-H tcp://x ps", 125),
    ("build .", 1), ("build --nope .", 125), ("build /nothing-here", 1), ("compose up", 1), ("compose up -f", 1),
    ("builder inspect nothing", 1), ("registry serve --nope", 125),
    *[(f"{c} {ABSENT}", 1) for c in (
        "start", "stop", "restart", "kill", "rm", "wait", "pause", "unpause", "logs", "attach", "top", "port", "diff", "inspect",
        "rmi", "history", "save", "push", "container inspect", "image inspect", "image rm", "network inspect", "network rm",
        "volume inspect", "volume rm", "pod start", "pod stop", "pod rm", "pod logs", "pod inspect", "pod kill", "pod wait",
        "pod run", "pod create", "update --memory 64m", "export -o /dev/null", "commit", "load -i", "import", "stats --no-stream",
    )],
    (f"exec {ABSENT} true", 1), (f"rename {ABSENT} other", 1), (f"cp {ABSENT}:/x .", 1), (f"tag {ABSENT} other", 1),
    (f"network connect {ABSENT} {ABSENT}", 1), (f"network disconnect {ABSENT} {ABSENT}", 1), (f"pod exec {ABSENT} true", 1),
    *[(c, 125) for c in (
        "start", "stop", "restart", "kill", "rm", "wait", "pause", "unpause", "logs", "attach", "top", "port", "diff", "inspect",
        "rmi", "history", "save", "push", "pull", "tag", "rename x", "cp x", "exec x", "commit", "export", "update", "import",
        "bootstrap", "network create", "network rm", "network inspect", "network connect x", "volume rm", "volume inspect",
        "pod run", "pod stop", "pod exec x", "pod", "network", "volume", "image", "container", "system", "completion",
        "ps x", "images a b", "info x", "version x", "check x", "events x", "volume ls x", "network ls x", "system df x",
    )],
    *[(f"{c} --nope", 125) for c in (
        "start x", "stop x", "ps", "logs x", "images", "pull x", "network ls", "volume ls", "pod ps", "check", "info",
        "events", "stats", "system df", "system prune", "login", "logout", "load", "version", "wait x", "inspect x",
    )],
    ("kill -s NOPE x", 1), ("stop -t x y", 125), ("logs --since whenever x", 1), ("logs --tail x y", 1), ("logs --tail=--5 y", 1),
    (f"logs --tail {'9' * 5000} y", 1), ("ps --filter x", 1),
    ("ps --filter nope=x", 1), ("ps --format {{.Names}}", 1), ("images --filter nope=x", 1),
    ("images --format {nope}", 1), ("update x", 1), ("rename x y", 1), ("bootstrap nothing-here", 1), ("bootstrap Deb!an", 1),
    ("network create bridge", 1), ("network create a/b", 1), ("network create --subnet x net1", 1), ("network rm bridge", 1),
    ("network create --driver nope net1", 1), ("volume create a/b", 1), ("volume create --driver nope vol1", 1),
    ("volume create --opt x vol1", 1), ("tag busybox UPPER", 1), ("cp a b", 1), ("cp x:/a y:/b", 1), ("import /nothing-here", 1),
    ("load -i /etc/hostname", 1), ("save --format nope busybox", 125), ("completion fish", 1), ("events --since x", 1),
    ("system df --format {nope}", 1), ("inspect --type nope x", 125), ("login a/b", 1), ("exec -w x y z", 1),
    ("update --memory 64m --memory-swap 32m x", 1), ("update --memory 64m --memory-reservation 1g x", 1),
    ("pull --platform a/b/c/d busybox", 1), ("network ls --filter nope=x", 1), ("pod ps --filter nope=x", 1),
]  # fmt: skip


@pytest.fixture(scope="module")
def before(lading) -> str:  # type: ignore[no-untyped-def]
    return _everything(lading)


def _everything(lading) -> str:  # type: ignore[no-untyped-def]
    lists = ("ps -aq", "pod ps -q", "volume ls -q", "network ls -q", "images -q --no-trunc")
    return "\n".join(lading.out(*command.split()) for command in lists)


@pytest.mark.parametrize(
    ("line", "status"), WRONG, ids=lambda v: v or "nothing" if isinstance(v, str) else None
)
def test_a_mistake_is_one_line_and_leaves_nothing(lading, before: str, line: str, status: int) -> None:  # type: ignore[no-untyped-def]
    done = lading(*line.split())
    assert done.returncode == status, done.stderr
    if status:
        assert len(done.stderr.splitlines()) == 1, done.stderr
        assert done.stderr.startswith("lading")
        assert "internal error" not in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["run", "--rm", "busybox", "echo", "\udcff"], 125),
        (["run", "--rm", "-e", "A=\udcff", "busybox", "true"], 125),
        (["create", "-l", "a=\udcff", "busybox"], 1),
        (["logs", "\udcff"], 1),
        (["volume", "create", "--label", "a=\udcff"], 1),
        (["network", "create", "--label", "a=\udcff", "odd"], 1),
    ],
    ids=lambda v: v[0] if isinstance(v, list) else None,
)
def test_bytes_that_are_no_text_are_named_and_leave_nothing(
    lading, before: str, words: list[str], status: int
) -> None:  # type: ignore[no-untyped-def]
    done = lading(*words)
    assert done.returncode == status
    assert done.stderr.count("\n") == 1 and "\\udcff' is not UTF-8 text" in done.stderr
    assert _everything(lading) == before


def test_nothing_is_left_after_all_of_them(lading, before: str) -> None:  # type: ignore[no-untyped-def]
    assert _everything(lading) == before
    assert not list((lading.base / "root" / "pods").glob("*"))
