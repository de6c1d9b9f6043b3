"""What ps(1) shows of a process that was forked to stay."""

from __future__ import annotations

import os


def entitle(title: str) -> None:
    """Have ps(1) show ``title`` in place of the command line, as much of it as fits; nothing where the kernel refuses.

    A process that was forked to stay otherwise goes by the command, and the arguments, of whoever came first. The kernel reads
    both from the process's own memory (proc(5): stat's fields 48 and 49, arg_start and arg_end; comm).
    """
    try:
        with open("/proc/self/comm", "w") as comm:
            comm.write(title[:15])
        with open("/proc/self/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
        start, end = int(fields[45]), int(fields[46])
        memory = os.open("/proc/self/mem", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.pwrite(memory, title.encode()[: end - start - 1].ljust(end - start, b"\0"), start)
        finally:
            os.close(memory)
    except OSError:
        return
