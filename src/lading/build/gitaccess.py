"""What git shows to servers and what it believes of them, as its configuration: headers of secrets, authorities of ``certs.d``.

A header without a host is for the server of the repository that is asked for: not for those of its submodules, and for none that
a server redirects to. git would take it along there, so it follows no redirect where it has a header (git-config(1)
"http.extraHeader", "http.followRedirects").
"""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from lading.errors import InvalidInput
from lading.images.remote_config import certificates, hosts_with_certificates

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_KINDS = ("GIT_AUTH_TOKEN", "GIT_AUTH_HEADER")  # the later one counts, as BuildKit has it


class GitAccess:
    """``secrets``: all of a build's; ``config``: the configuration directory.

    Those called ``GIT_AUTH_TOKEN[.HOST[:PORT]]`` and ``GIT_AUTH_HEADER[.HOST[:PORT]]`` are for repositories.
    Raises :class:`InvalidInput` for one that is no header.
    """

    def __init__(
        self, secrets: Mapping[str, bytes], config: str, environ: Mapping[str, str] | None = None
    ) -> None:
        environ = os.environ if environ is None else environ
        self._headers = _headers(secrets)
        self._config = config
        # As options, since git's own variable would count more than what is said of one host.
        self._file = environ.get("GIT_SSL_CAINFO") or environ.get("SSL_CERT_FILE", "")
        self._directory = environ.get("SSL_CERT_DIR", "")
        self._authorities: dict[str, str] | None = None
        self._joined: list[int] = []

    def options(self, remote: str) -> dict[str, str]:
        """Options of git for a command that asks ``remote``. Raises :class:`InvalidInput` for a certificate that is not read."""
        made = dict(self._trusted())
        headers = {f"https://{host}/": header for host, header in self._headers.items() if host}
        origin = _origin(remote)
        if origin and "" in self._headers:
            headers.setdefault(origin, self._headers[""])
        for prefix, header in headers.items():
            made[f"http.{prefix}.extraHeader"] = f"Authorization: {header}"
            made[f"http.{prefix}.followRedirects"] = "false"
        return made

    def _trusted(self) -> dict[str, str]:
        """What `Registries.context` trusts, in git's words."""
        if self._authorities is None:
            made: dict[str, str] = {}
            if self._file:
                made["http.sslCAInfo"] = self._file
            if self._directory:
                made["http.sslCAPath"] = self._directory
            for host in hosts_with_certificates(self._config):
                authorities, clients = certificates(self._config, host)
                prefix = f"http.https://{host}/"
                if authorities:
                    made[f"{prefix}.sslCAInfo"] = self._one(authorities)
                    made[f"{prefix}.sslCAPath"] = self._directory or _system()
                for certificate, key in clients[:1]:
                    made[f"{prefix}.sslCert"], made[f"{prefix}.sslKey"] = certificate, key
            self._authorities = made
        return self._authorities

    def _one(self, paths: list[str]) -> str:
        """One file that has them all: in memory when they are several."""
        if len(paths) == 1:
            return paths[0]
        fd = os.memfd_create("authorities", os.MFD_CLOEXEC)
        self._joined.append(fd)
        for path in paths:
            try:
                with open(path, "rb") as file:
                    os.write(fd, file.read(1 << 20) + b"\n")
            except OSError as error:
                raise InvalidInput(f"cannot use the certificate {path!r}: {error.strerror}") from None
        return f"/proc/{os.getpid()}/fd/{fd}"

    def close(self) -> None:
        """Let go of what was joined."""
        while self._joined:
            os.close(self._joined.pop())


def _system() -> str:
    import ssl

    return ssl.get_default_verify_paths().capath or "/etc/ssl/certs"


def _origin(remote: str) -> str:
    """``https://HOST[:PORT]/`` of a remote; empty for what is not asked by https: nobody's token goes there in the clear."""
    try:
        parts = urlsplit(remote)
    except ValueError:
        return ""
    return f"https://{parts.netloc.rpartition('@')[2]}/" if parts.scheme.lower() == "https" else ""


def _headers(secrets: Mapping[str, bytes]) -> dict[str, str]:
    """Authorization headers by host, the empty one for the remote itself."""
    made: dict[str, str] = {}
    for kind in _KINDS:
        for name, data in sorted(secrets.items()):
            named, dot, host = name.partition(".")
            if named != kind or (dot and not host):
                continue
            try:
                text = data.decode("ascii").strip()
            except UnicodeDecodeError:
                text = "\n"
            if not text.isprintable():
                raise InvalidInput(
                    f"the secret {name!r} is no header: it has more than one line of plain text"
                )
            if kind == "GIT_AUTH_TOKEN":
                import base64

                text = "basic " + base64.b64encode(b"x-access-token:" + text.encode()).decode()
            made[host.lower()] = text
    return made
