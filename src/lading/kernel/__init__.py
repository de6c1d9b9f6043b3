"""Floor 0: Linux, typed. :class:`Kernel` is the seam that code above decides through and tests replace.

``Kernel`` has one method a system call, grouped by subject in the modules beside this one; ``fake.FakeKernel`` records
them. This package has no idea what a container is.
"""

from __future__ import annotations

from lading.kernel.capabilities import Capabilities
from lading.kernel.files import Files
from lading.kernel.mounts import Mounts
from lading.kernel.namespaces import Namespaces
from lading.kernel.process import Processes


class Kernel(Mounts, Namespaces, Processes, Capabilities, Files):
    """The real kernel. Every failure is a :class:`lading.errors.KernelError`."""


__all__ = ["Kernel"]
