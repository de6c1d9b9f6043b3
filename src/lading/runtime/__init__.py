"""Floor 2: OCI containers. ``Runtime`` makes and finds them, ``Container`` is one, ``RunRequest`` asks for one,
``Stdio`` is its streams.

runtime = Runtime(roots.runtime)
container = runtime.run(RunRequest("web", spec, bundle, rootfs=rootfs, stdio=Stdio(0, 1, 2)))
status = container.wait()
container.delete()
"""

from __future__ import annotations

from lading.runtime.container import Container, RunRequest, Runtime, Stdio

__all__ = ["Container", "RunRequest", "Runtime", "Stdio"]
