"""nftables: libnftables for everything that has a text, and one netlink question for the hot path.

Loading libnftables costs 5 ms and its handle keeps state, so it is loaded on first use and kept. Whether a table is
still there is asked without it (:func:`table_exists`), in 50 microseconds: a plain start never loads the library.
"""

from __future__ import annotations

from lading.errors import KernelError, LadingError, Unsupported
from lading.kernel import netlink as nl
from lading.kernel.ffi import Functions

_GETTABLE = (10 << 8) | 1  # NFNL_SUBSYS_NFTABLES, NFT_MSG_GETTABLE (linux/netfilter/nf_tables.h)
_FAMILIES = {"ip": 2, "inet": 1, "ip6": 10, "bridge": 7, "netdev": 5, "arp": 3}
_TABLE_NAME = 1
_ENOENT = 2
_OUTPUT_JSON = 1 << 4
_FUNCTIONS = (
    ("nft_ctx_new", "p", "I"),
    ("nft_ctx_free", "v", "p"),
    ("nft_ctx_buffer_output", "i", "p"),
    ("nft_ctx_buffer_error", "i", "p"),
    ("nft_ctx_get_output_buffer", "s", "p"),
    ("nft_ctx_get_error_buffer", "s", "p"),
    ("nft_ctx_output_set_flags", "v", "pI"),
    ("nft_run_cmd_from_buffer", "i", "ps"),
)


class RuleError(LadingError):
    """nftables refused a command. The message is its first complaint."""

    reason = "nftables"


class Nftables:
    """A persistent libnftables context (libnftables(3)). It belongs to the namespace current at its first command."""

    __slots__ = ("_context", "_library")

    def __init__(self) -> None:
        self._library: Functions | None = None
        self._context = 0

    def _open(self) -> Functions:
        try:
            library = Functions("libnftables.so.1", _FUNCTIONS)
        except OSError:
            raise Unsupported(
                "libnftables is not installed", hint="install the package libnftables1"
            ) from None
        context = library.nft_ctx_new(0)
        if not context:
            raise KernelError("nft_ctx_new", 12)
        library.nft_ctx_buffer_output(context)
        library.nft_ctx_buffer_error(context)
        self._library, self._context = library, context
        return library

    def run(self, commands: str, *, json: bool = False) -> str:
        """Run commands (nft(8) text) as one transaction; returns their output, JSON text with ``json``.

        Raises :class:`RuleError` with nftables' first complaint; then nothing of ``commands`` took effect.
        """
        library = self._library or self._open()
        library.nft_ctx_output_set_flags(self._context, _OUTPUT_JSON if json else 0)
        failed = library.nft_run_cmd_from_buffer(self._context, commands.encode())
        output = library.nft_ctx_get_output_buffer(self._context) or b""
        complaint = library.nft_ctx_get_error_buffer(self._context) or b""
        if failed:
            lines = complaint.decode("utf-8", "replace").strip().splitlines()
            first = lines[0].rpartition("Error: ")[2] if lines else "no reason given"
            missing = "No such file or directory" in first
            raise RuleError(f"nftables: {first}", reason="not-found" if missing else "")
        return str(output.decode("utf-8", "replace"))

    def close(self) -> None:
        """Free the context; the next command opens a new one."""
        if self._library is not None:
            self._library.nft_ctx_free(self._context)
            self._library, self._context = None, 0


def table_exists(name: str, family: str = "inet") -> bool:
    """Whether the table is there, asked of the kernel directly."""
    payload = bytes((_FAMILIES[family], 0, 0, 0)) + nl.text(_TABLE_NAME, name)
    with nl.Netlink(nl.NETFILTER) as wire:
        return bool(wire.ask(nl.Message(_GETTABLE, 0, payload, f"nft list table {name}", (_ENOENT,))))
