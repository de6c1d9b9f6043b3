"""Downloads of builds: asked for anew, kept by what is in them."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lading.build import housekeeping
from lading.build.downloads import Downloads, without_password
from lading.build.progress import Progress
from lading.build.records import WEB, Record
from lading.errors import InvalidInput, LadingError, NotFound, RemoteError, Unsupported
from support.buildsite import BuildSite
from support.site import Answer, Authority, Site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[BuildSite]:
    (tmp_path / "www").mkdir()
    made = BuildSite(tmp_path / "www")
    yield made
    made.close()


@pytest.fixture
def downloads(tmp_path: Path):
    def make(**_: object) -> Downloads:
        return Downloads(str(tmp_path / "data"), str(tmp_path / "config"), Progress())

    return make


def _text(found) -> str:
    with os.fdopen(found.open()) as file:
        return file.read()


def test_what_has_not_changed_is_asked_for_and_not_sent_again(site, downloads):
    (site.root / "f").write_text("one")
    site.times["/f"] = 1_000_000_000
    first = downloads().get(site.url + "/f")
    assert (_text(first), first.moment) == ("one", 1_000_000_000)
    again = downloads().get(site.url + "/f")
    assert again.key == first.key
    assert [line.rpartition(" ")[2] for line in site.asked] == ["200", "304"]
    (site.root / "f").write_text("two")
    changed = downloads().get(site.url + "/f")
    assert (_text(changed), _text(first)) == ("two", "one")
    assert changed.key != first.key


def test_without_validators_it_is_fetched_and_has_the_same_key(site, downloads):
    site.tags = False
    (site.root / "f").write_text("one")
    keys = {downloads().get(site.url + "/f").key for _ in range(2)}
    assert len(keys) == 1
    assert len(site.asked) == 2


def test_the_time_that_the_server_says_is_part_of_the_key(site, downloads):
    (site.root / "f").write_text("one")
    site.times["/f"] = 1000
    first = downloads().get(site.url + "/f").key
    site.tags = False
    site.times["/f"] = 2000
    assert downloads().get(site.url + "/f").key != first


def test_a_checksum_that_is_here_asks_nobody_and_one_that_is_wrong_is_refused(site, downloads):
    (site.root / "f").write_text("one")
    digest = downloads().get(site.url + "/f").digest
    site.asked.clear()
    assert downloads().get(site.url + "/f", checksum=digest).digest == digest
    assert site.asked == []
    with pytest.raises(RemoteError) as error:
        downloads().get(site.url + "/f", checksum="sha256:" + "0" * 64)
    assert error.value.reason == "checksum"


def test_redirects_are_followed_and_take_no_password_to_another_host(site, downloads, tmp_path):
    (tmp_path / "other").mkdir()
    other = BuildSite(tmp_path / "other")
    try:
        (other.root / "f").write_text("there")
        site.redirects["/here"] = "/again"
        site.redirects["/again"] = other.url + "/f"
        url = site.url.replace("://", "://user:pa%20ss@") + "/here"
        assert _text(downloads().get(url)) == "there"
        assert site.headers[0]["Authorization"] == "Basic dXNlcjpwYSBzcw=="
        assert "Authorization" in site.headers[1]
        assert "Authorization" not in other.headers[0]
    finally:
        other.close()


def test_circles_and_other_schemes_end(site, downloads):
    site.redirects["/a"] = "/a"
    site.redirects["/b"] = "file:///etc/passwd"
    for path in ("/a", "/b"):
        with pytest.raises(RemoteError) as error:
            downloads().get(site.url + path)
        assert error.value.reason == "redirect"
    with pytest.raises(NotFound):
        downloads().get(site.url + "/none")
    with pytest.raises((InvalidInput, Unsupported)):
        downloads().get("gopher://localhost/x")


def test_what_is_larger_than_allowed_is_not_kept(site, downloads, tmp_path):
    (site.root / "f").write_bytes(b"x" * 1000)
    with pytest.raises(RemoteError) as error:
        downloads().get(site.url + "/f", limit=999)
    assert error.value.reason == "too-large"
    assert not list((tmp_path / "data").rglob("content"))
    one = downloads()
    one.get(site.url + "/f")
    for known in (one, downloads()):
        with pytest.raises(RemoteError) as error:
            known.get(site.url + "/f", limit=999)
        assert error.value.reason == "too-large"


def test_no_prune_takes_away_what_a_build_uses(site, downloads):
    (site.root / "f").write_text("one")
    build, other = downloads(), downloads()
    found = build.get(site.url + "/f")
    other.get(site.url + "/f")  # two builds do not wait for each other's end
    other.close()
    record = Record("id", WEB, "download")
    record.path = os.path.dirname(os.path.dirname(found.directory))
    assert housekeeping._empty(record) is None
    assert _text(found) == "one"
    build.close()
    assert housekeeping._empty(record) is not None
    assert not os.path.exists(found.directory)


def test_a_broken_record_is_fetched_anew(site, downloads, tmp_path):
    (site.root / "f").write_text("one")
    downloads().get(site.url + "/f")
    (about,) = (tmp_path / "data").rglob("about")
    about.write_text("{")
    assert _text(downloads().get(site.url + "/f")) == "one"


def test_a_url_is_quoted_and_its_password_goes_nowhere_else():
    assert without_password("HTTPS://u@host:8443/a b/ü?x=[1]#f") == (
        "https://host:8443/a%20b/%C3%BC?x=[1]",
        "Basic dTo=",
    )
    # Bytes that are no text, percent-encoded or as they stand in a Dockerfile, are sent as they are.
    assert without_password("http://u%3A:%F0w@h/")[1] == without_password("http://u%3A:\udcf0w@h/")[1]
    assert base64.b64decode(without_password("http://u%3A:%F0w@h/")[1].split()[1]) == b"u::\xf0w"
    with pytest.raises(InvalidInput):
        without_password("http://[::1/x")


def test_a_server_of_an_authority_of_its_own_is_believed_where_certs_d_says_so(downloads, tmp_path):
    authority = Authority(tmp_path / "tls")
    with Site(authority) as site, Site(None) as plain:
        site.answers["/f"] = Answer(b"text")
        site.answers["/down"] = Answer(b"", 302, Location=f"{plain.url}/f")
        with pytest.raises(LadingError) as error:
            downloads().get(f"{site.url}/f")
        assert "certificate is not trusted" in error.value.message
        assert "certs.d" in error.value.hint and "registry" not in error.value.hint
        authority.trust(tmp_path / "config", f"localhost:{site.port}")
        made = downloads()
        assert _text(made.get(f"{site.url}/f")) == "text"
        with pytest.raises(RemoteError, match="from https to plain http"):
            made.get(f"{site.url}/down")
        assert plain.asked == []
        made.close()
