"""What git shows and believes: tokens for their servers alone, authorities of ``certs.d``."""

from __future__ import annotations

import pytest

from lading.build.git import Git
from lading.build.gitaccess import GitAccess
from lading.errors import InvalidInput


def headers(access: GitAccess, remote: str) -> dict[str, str]:
    return {
        name.removeprefix("http.").removesuffix(".extraHeader"): value.removeprefix("Authorization: ")
        for name, value in access.options(remote).items()
        if name.endswith(".extraHeader")
    }


def test_tokens_are_for_their_host_and_on_no_command_line(tmp_path):
    secrets = {
        "GIT_AUTH_TOKEN.example.com:8443": b"token\n",
        "GIT_AUTH_HEADER": b"bearer x",
        "other": b"y",
    }
    access = GitAccess(secrets, str(tmp_path), {})
    token = "basic eC1hY2Nlc3MtdG9rZW46dG9rZW4="
    assert headers(access, "https://h:1/p.git") == {
        "https://example.com:8443/": token,
        "https://h:1/": "bearer x",
    }
    assert headers(access, "https://u:p@example.com:8443/p.git") == {"https://example.com:8443/": token}
    # Not in the clear, and not to a server that nobody asked.
    assert headers(access, "http://h/p.git") == {"https://example.com:8443/": token}
    assert headers(access, "git@h:p.git") == {"https://example.com:8443/": token}
    environ = Git(access=access)._environment("https://h/p.git", local=False)
    assert "http.https://h/.extraHeader" in environ.values()


def test_a_header_counts_more_than_a_token_and_follows_no_redirect(tmp_path):
    access = GitAccess({"GIT_AUTH_HEADER": b"bearer x", "GIT_AUTH_TOKEN": b"t"}, str(tmp_path), {})
    assert headers(access, "https://h/p.git") == {"https://h/": "bearer x"}
    assert access.options("https://h/p.git")["http.https://h/.followRedirects"] == "false"
    with pytest.raises(InvalidInput):
        GitAccess({"GIT_AUTH_TOKEN": b"two\nlines"}, str(tmp_path), {})


def test_authorities_are_those_of_registries(tmp_path):
    for host, names in (("one:1", ["ca.crt"]), ("two", ["a.crt", "b.crt", "c.cert", "c.key"])):
        (tmp_path / "certs.d" / host).mkdir(parents=True)
        for name in names:
            (tmp_path / "certs.d" / host / name).write_text(name)
    access = GitAccess({}, str(tmp_path), {"SSL_CERT_FILE": "/f", "SSL_CERT_DIR": "/d"})
    made = access.options("https://h/p.git")
    assert made["http.sslCAInfo"] == "/f"
    assert made["http.https://one:1/.sslCAInfo"] == f"{tmp_path}/certs.d/one:1/ca.crt"
    assert made["http.https://one:1/.sslCAPath"] == made["http.sslCAPath"] == "/d"
    with open(made["http.https://two/.sslCAInfo"], encoding="ascii") as joined:
        assert joined.read() == "a.crt\nb.crt\n"
    assert made["http.https://two/.sslCert"] == f"{tmp_path}/certs.d/two/c.cert"
    assert made["http.https://two/.sslKey"] == f"{tmp_path}/certs.d/two/c.key"
    access.close()
    other = GitAccess({}, str(tmp_path), {"SSL_CERT_FILE": "/f", "GIT_SSL_CAINFO": "/g"})
    assert other.options("")["http.sslCAInfo"] == "/g"
    other.close()
