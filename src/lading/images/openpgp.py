"""Signatures checked by ``gpgv``, with a keyring of exactly the keys that are trusted.

``gpgv`` is a program for this purpose: it has no trust database, no agent, no network. Keyring, signature and file are
handed to it as descriptors, so nothing of ours lies on the disk when we are killed, and the file that is checked is the
one that is open here, whatever happens to its name. Source: gpgv(1); for what its answers mean :mod:`lading.formats.openpgp`.
"""

from __future__ import annotations

import os
import subprocess

from lading.errors import Denied, InvalidInput, LadingError, NotFound, TimedOut
from lading.formats.openpgp import SIGNATURE, Signed, dearmor, verdict
from lading.formats.openpgp_packets import check_signatures

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lading.formats.openpgp_packets import Key

LARGEST_SIGNATURE = 1 << 16
"""Bytes of a signature file; one signature takes less than two thousand."""
_LARGEST_STATUS = 1 << 20
_AHEAD = 24 * 3600  # seconds that a signer's clock may be ahead of ours
_SECONDS = 60.0  # for a small file
_SLOWEST = 10 << 20  # bytes a second that a busy machine hashes at the least


def verify(
    file: int, signature: bytes, keys: Sequence[Key], now: float, *, what: str, program: str = "gpgv"
) -> Signed:
    """The good signature of the open ``file`` by one of ``keys``; ``signature`` is detached, armored or not.

    ``now``: Unix time. ``what`` names the file in errors. Raises :class:`Denied` with the reasons of
    :func:`lading.formats.openpgp.verdict`, ``no-trusted-key`` (``keys`` is empty) and ``signature-future``;
    :class:`InvalidInput` for a signature that is none; :class:`NotFound` (``no-gpgv``); :class:`TimedOut`.
    """
    if not keys:
        raise Denied(f"{what}: no key is trusted to sign it", reason="no-trusted-key")
    packets = signature_packets(signature, what=f"signature of {what}")
    status = _status(file, packets, b"".join(key.packets for key in keys), what, program)
    signed = verdict(status, {key.fingerprint for key in keys}, what=what)
    if signed.made > now + _AHEAD:
        raise Denied(
            f"{what}: the signature says that it was made in the future",
            hint="look at this machine's clock",
            reason="signature-future",
        )
    return signed


def signature_packets(signature: bytes, *, what: str) -> bytes:
    """The packets of a signature file. Raises :class:`InvalidInput` (``armor``, ``no-signature``) for anything else."""
    if len(signature) > LARGEST_SIGNATURE:
        raise InvalidInput(
            f"{what}: {len(signature)} bytes, more than {LARGEST_SIGNATURE}", reason="no-signature"
        )
    # A packet begins with a byte that no text does.
    binary = signature[:1] >= b"\x80"
    packets = signature if binary else b"".join(dearmor(signature, SIGNATURE, what=what))
    check_signatures(packets, what=what)
    return packets


def _status(file: int, signature: bytes, keyring: bytes, what: str, program: str) -> str:
    """What ``gpgv`` says on its status descriptor."""
    held: list[int] = []
    try:
        for name, data in (("keyring", keyring), ("signature", signature)):
            held.append(os.memfd_create(name, os.MFD_CLOEXEC))
            os.write(held[-1], data)
            os.lseek(held[-1], 0, os.SEEK_SET)
        os.lseek(file, 0, os.SEEK_SET)
        ring, mark = (f"/proc/self/fd/{fd}" for fd in held)
        command = [
            program, "--homedir", "/nonexistent", "--status-fd", "1", "--keyring", ring, "--", mark, f"/proc/self/fd/{file}",
        ]  # fmt: skip
        return _run(command, (*held, file), _SECONDS + os.fstat(file).st_size / _SLOWEST, what)
    finally:
        for fd in held:
            os.close(fd)


def _run(command: list[str], held: tuple[int, ...], seconds: float, what: str) -> str:
    environ = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
    try:
        # Its exit status decides nothing: it is 0 for keys that have expired.
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=held,
            env=environ,
            timeout=seconds,
            check=False,
        )
    except FileNotFoundError:
        raise NotFound(
            "signatures are checked by gpgv, which is not installed",
            hint="install the package gpgv",
            reason="no-gpgv",
        ) from None
    except subprocess.TimeoutExpired:
        raise TimedOut(f"{what}: gpgv did not end within {seconds:.0f} seconds") from None
    except OSError as error:
        raise LadingError(f"gpgv cannot be run: {error.strerror}", reason="no-gpgv") from None
    if len(done.stdout) > _LARGEST_STATUS:
        raise InvalidInput(f"signature of {what}: gpgv has too much to say about it", reason="no-signature")
    return done.stdout.decode("utf-8", "replace")
