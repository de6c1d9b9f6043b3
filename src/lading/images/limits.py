"""How much an archive may ask for before it is called a bomb."""

from __future__ import annotations


class Limits:
    """Bounds on unpacking one layer.

    ``bytes``    data written, and the apparent size of one sparse file.
    ``entries``  files, directories and everything else.
    ``path``     bytes of one name: PATH_MAX of Linux less what the store's own directories need.
    ``ratio``    bytes unpacked for each byte received, looked at once ``ratio_after`` bytes have been unpacked: small
                 layers of zeros are legitimate, and gzip alone reaches 1,000.
    ``reserve``  bytes that stay free on the file system.
    """

    __slots__ = ("bytes", "entries", "path", "ratio", "ratio_after", "reserve")

    def __init__(
        self,
        *,
        bytes: int = 64 << 30,
        entries: int = 4_000_000,
        path: int = 3840,
        ratio: int = 250,
        ratio_after: int = 1 << 30,
        reserve: int = 32 << 20,
    ) -> None:
        self.bytes = bytes
        self.entries = entries
        self.path = path
        self.ratio = ratio
        self.ratio_after = ratio_after
        self.reserve = reserve

    @classmethod
    def from_environment(cls, environ: dict[str, str] | None = None) -> Limits:
        """The defaults, changed by ``LADING_UNPACK_BYTES``, ``_ENTRIES``, ``_RATIO`` and ``_RESERVE`` (plain integers).

        Raises :class:`InvalidInput` for anything else.
        """
        import os

        from lading.errors import InvalidInput

        source = os.environ if environ is None else environ
        limits = cls()
        for name in ("bytes", "entries", "ratio", "reserve"):
            variable = f"LADING_UNPACK_{name.upper()}"
            text = source.get(variable)
            if text is None:
                continue
            if not text.isascii() or not text.isdigit() or len(text) > 18:
                raise InvalidInput(f"{variable}={text!r} is not a whole number")
            setattr(limits, name, int(text))
        return limits
