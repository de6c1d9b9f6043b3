"""The commands of ``lading-runtime`` that look at containers or change what they may use: list, ps, pause,
resume, update."""

from __future__ import annotations

import os
import sys

from lading.errors import Conflict, InvalidInput, LadingError, NotFound
from lading.formats.jsontext import dumps, loads
from lading.runtime.commands import described, read_file, runtime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.flags import Parsed
    from lading.formats.oci_runtime import Resources
    from lading.runtime.cli import Log


def list_containers(parsed: Parsed, log: Log) -> int:
    """``list``: also containers whose making was interrupted, as ``stopped``, so that they can be deleted."""
    machine = runtime(parsed)
    shown = []
    for id in machine.store.ids():
        try:
            shown.append(described(machine.get(id)))
        except NotFound:
            if machine.store.exists(id):
                shown.append(
                    {
                        "ociVersion": "1.2.0",
                        "id": id,
                        "pid": 0,
                        "status": "stopped",
                        "bundle": "",
                        "rootfs": "",
                        "created": "",
                        "owner": "",
                    }
                )
        except LadingError as error:
            log.warn(f"{id}: {error}")
    if parsed["quiet"]:
        sys.stdout.write("".join(f"{row['id']}\n" for row in shown))
    elif parsed["format"] == "json":
        sys.stdout.write(dumps(shown) + "\n")
    else:
        fields = ("id", "pid", "status", "bundle", "created", "owner")
        rows = [tuple(f.upper() for f in fields), *(tuple(str(row[f]) for f in fields) for row in shown)]
        widths = [max(11, *(len(row[i]) for row in rows)) for i in range(len(fields))]
        for row in rows:
            sys.stdout.write(
                " ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
            )
            sys.stdout.write("\n")
    return 0


def processes(parsed: Parsed, log: Log) -> int:
    """``ps``: the pids as JSON, or the lines of ps(1) that are about them."""
    container = runtime(parsed).get(parsed.args[0])
    pids = container.pids()
    if parsed["format"] == "json":
        sys.stdout.write(dumps(pids) + "\n")
        return 0
    import subprocess

    options = parsed.args[1:] or ["-ef"]
    try:
        done = subprocess.run(["ps", *options], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise NotFound("ps is not installed on the host", hint="use --format json") from None
    if done.returncode != 0:
        raise InvalidInput(f"ps {' '.join(options)}: {done.stderr.strip()}")
    lines = done.stdout.splitlines()
    head = lines[0].split() if lines else []
    if "PID" not in head:
        raise InvalidInput(f"ps {' '.join(options)}: there is no PID column to choose lines by")
    column = head.index("PID")
    wanted = {str(pid) for pid in pids}
    sys.stdout.write(lines[0] + "\n")
    for line in lines[1:]:
        cells = line.split()
        if len(cells) > column and cells[column] in wanted:
            sys.stdout.write(line + "\n")
    return 0


def pause(parsed: Parsed, log: Log) -> int:
    """``pause``"""
    runtime(parsed).get(parsed.args[0]).pause()
    return 0


def resume(parsed: Parsed, log: Log) -> int:
    """``resume``"""
    runtime(parsed).get(parsed.args[0]).resume()
    return 0


def update(parsed: Parsed, log: Log) -> int:
    """``update``: what is not named stays as it is."""
    container = runtime(parsed).get(parsed.args[0])
    if container.state().status in ("stopped", "creating"):
        raise Conflict(f"container {container.id} is not running")
    container.update(wanted(parsed))
    return 0


def wanted(parsed: Parsed) -> Resources:
    """The resources of ``--resources``, or of the single flags. Raises :class:`InvalidInput` when there are
    none."""
    from lading.formats.oci_runtime import CPU, BlockIO, Memory, Pids, Resources

    source = parsed["resources"]
    if source:
        text = _standard_input() if source == "-" else read_file(source)
        return Resources.decode(loads(text, what=source), where="resources", strict=False)
    memory = Memory(
        limit=_size(parsed, "memory"),
        reservation=_size(parsed, "memory-reservation"),
        swap=_size(parsed, "memory-swap"),
        kernel=_size(parsed, "kernel-memory"),
        kernel_tcp=_size(parsed, "kernel-memory-tcp"),
    )
    cpu = CPU(
        shares=parsed["cpu-share"],
        quota=parsed["cpu-quota"],
        burst=parsed["cpu-burst"],
        period=parsed["cpu-period"],
        realtime_runtime=parsed["cpu-rt-runtime"],
        realtime_period=parsed["cpu-rt-period"],
        cpus=parsed["cpuset-cpus"],
        mems=parsed["cpuset-mems"],
        idle=parsed["cpu-idle"],
    )
    made = Resources()
    if memory != Memory():
        made.memory = memory
    if cpu != CPU():
        made.cpu = cpu
    if parsed["pids-limit"] is not None:
        made.pids = Pids(limit=parsed["pids-limit"])
    if parsed["blkio-weight"]:
        made.block_io = BlockIO(weight=parsed["blkio-weight"])
    if made == Resources():
        raise InvalidInput("update: nothing to change was named", hint="see 'lading-runtime update --help'")
    return made


def _size(parsed: Parsed, name: str) -> int | None:
    from lading.formats import sizes

    text: str = parsed[name]
    if not text:
        return None
    return -1 if text == "-1" else sizes.parse(text, what="--" + name)


def _standard_input() -> bytes:
    parts = []
    while part := os.read(0, 65536):
        parts.append(part)
    return b"".join(parts)
