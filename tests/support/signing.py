"""Keys and signatures made by gpg in a directory of one's own: good ones, and every kind that must not pass."""

from __future__ import annotations

import subprocess
from pathlib import Path

from lading.formats.openpgp import PUBLIC_KEY, dearmor
from lading.formats.openpgp_packets import Key, keys

YEAR = 365 * 24 * 3600


class Signer:
    """A ``GNUPGHOME`` below ``base`` (a short path: gpg-agent's socket lives in it). :meth:`close` ends its agent."""

    def __init__(self, base: Path) -> None:
        self.home = base
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)

    def gpg(self, *words: str, input: bytes = b"", at: int = 0) -> bytes:
        """Run gpg, when ``at`` is given with the clock at that time, and return its output."""
        clock = ["--faked-system-time", str(at)] if at else []
        done = subprocess.run(
            ["gpg", "--homedir", str(self.home), "--batch", "--yes", "--no-tty", "--quiet", *clock, "--passphrase", "",
             "--pinentry-mode", "loopback", *words],
            input=input, capture_output=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def key(self, user: str, *, expire: str = "never", at: int = 0) -> str:
        """Make a key that signs; its fingerprint. ``expire`` as gpg takes it, counted from ``at``."""
        self.gpg("--quick-gen-key", user, "ed25519", "sign", expire, at=at)
        lines = self.gpg("--with-colons", "--list-keys", user).decode().splitlines()
        return next(line.split(":")[9] for line in lines if line.startswith("fpr"))

    def revoke(self, fingerprint: str) -> None:
        """Revoke a key by the certificate that gpg made with it."""
        text = (self.home / "openpgp-revocs.d" / f"{fingerprint}.rev").read_text()
        self.gpg("--import", input=text.replace(":-----BEGIN", "-----BEGIN").encode())

    def public(self, *fingerprints: str) -> bytes:
        """Armored public keys in one block."""
        return self.gpg("--armor", "--export", *fingerprints)

    def secret(self, fingerprint: str) -> bytes:
        """An armored secret key."""
        return self.gpg("--armor", "--export-secret-keys", fingerprint)

    def keys(self, *fingerprints: str) -> list[Key]:
        """Public keys as the project reads them."""
        blocks = dearmor(self.public(*fingerprints), PUBLIC_KEY, what="exported")
        return keys(b"".join(blocks), what="exported")

    def sign(self, data: bytes, fingerprint: str, *more: str, at: int = 0) -> bytes:
        """An armored detached signature of ``data``."""
        return self.gpg("--armor", "--local-user", fingerprint, *more, "--detach-sign", input=data, at=at)

    def close(self) -> None:
        """End the agent of this home."""
        subprocess.run(
            ["gpgconf", "--homedir", str(self.home), "--kill", "all"], capture_output=True, timeout=60
        )
