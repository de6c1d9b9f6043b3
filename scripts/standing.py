"""What stands as long as a root of Lading exists, as docker0 does: bridges, the nftables table, an empty control group."""

from __future__ import annotations

import subprocess
from pathlib import Path


def remove(tag: str) -> None:
    """Take it away with the root, whose ``Roots.tag`` this is. Raises OSError for a control group that is not empty."""
    for link in Path("/sys/class/net").glob(f"ld{tag.removeprefix('lading-')}-*"):
        subprocess.run(["ip", "link", "delete", link.name], check=True)
    subprocess.run(["nft", "delete", "table", "inet", tag], check=False, capture_output=True)
    for hierarchy in Path("/sys/fs/cgroup").glob(f"**/{tag}"):
        hierarchy.rmdir()
