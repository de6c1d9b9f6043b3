"""The access log: whole lines in their order, however slow its reader is."""

from __future__ import annotations

import asyncio
import os
import threading

from lading.registry.edge.watching import Watch


def test_a_slow_reader_gets_every_line_whole_and_in_order():
    reader, writer = os.pipe()
    watch = Watch("text", writer)
    lines = [f"{number:03d}" + "x" * 1000 for number in range(300)]
    busy: list[int] = []
    threads = threading.active_count()

    async def serve() -> None:
        for number, line in enumerate(lines):
            watch._write(line)
            if number % 100 == 99:
                await asyncio.sleep(0.3)
        busy.append(threading.active_count() - threads)
        drain.start()
        await watch.flush()

    found = bytearray()

    def read() -> None:
        while piece := os.read(reader, 1 << 12):
            found.extend(piece)

    drain = threading.Thread(target=read)
    asyncio.run(serve())
    os.close(writer)
    drain.join(30)
    os.close(reader)
    assert busy == [1]
    assert found.decode().splitlines() == lines
