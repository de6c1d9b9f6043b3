"""``--insecure-policy``: images are used whatever the policy says, and that is said."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.roots import Roots


def disobey(roots: Roots) -> None:
    """Obey no policy for images in this process and its children, and say so where there is one."""
    os.environ["LADING_INSECURE_POLICY"] = "1"
    if roots.policy:
        print(
            f"lading: {roots.policy} is not obeyed, as was asked: who signed images is not checked",
            file=sys.stderr,
        )
