"""Discovery from real pages over HTTPS: the walk, what is kept, who is told secrets, and pages that mean harm."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lading.errors import LadingError
from lading.formats.appc.wanted import Wanted
from lading.images import remote_http
from lading.images.aci.discover import Discovery, Pages
from lading.images.aci.web import Web
from support.site import Answer, Asked, Authority, Site, meta

pytestmark = [pytest.mark.root, pytest.mark.peer("openssl")]

APP = Wanted("localhost/app/part", {"version": "1", "os": "linux"})
TEMPLATE = "https://localhost/{name}-{version}-{os}.{ext}"
MIDDLE, BOTTOM = "/app?ac-discovery=1", "/app/part?ac-discovery=1"
ROOT = "?ac-discovery=1"


@pytest.fixture
def discovery(site: Site, config: Path, tmp_path: Path) -> Iterator[Callable[..., Discovery]]:
    opened = []

    def make(now: float = 1000.0, **more: object) -> Discovery:
        opened.append(Web(str(config), environ={}, **more))  # type: ignore[arg-type]
        return Discovery(opened[-1], now, kept=Pages(str(tmp_path / "pages")), port=site.port)

    yield make
    for web in opened:
        web.__exit__()


def kept(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "pages").glob("*")) if (tmp_path / "pages").exists() else []


def test_the_names_own_page_is_asked_first_and_its_templates_are_filled(
    site: Site, discovery: Callable[..., Discovery]
) -> None:
    site.answers[BOTTOM] = Answer(
        meta(("discovery", "localhost", TEMPLATE), ("discovery", "localhost", "https://x/{no}.{ext}"))
    )
    found = discovery().endpoints(APP)
    assert [e.aci for e in found.endpoints] == ["https://localhost/localhost/app/part-1-linux.aci"]
    assert [e.signature for e in found.endpoints] == ["https://localhost/localhost/app/part-1-linux.aci.asc"]
    assert site.paths() == [BOTTOM]


@pytest.mark.parametrize(
    "own", [Answer(b"", 404), Answer(b"", 403), Answer(b"no tags"), Answer(meta(("discovery", "localhost/other", TEMPLATE))),
            Answer(meta(("discovery-pubkeys", "localhost", "https://localhost/key"))),
            Answer(meta(("discovery", "localhost", "ftp://localhost/{name}.{ext}")))]
)  # fmt: skip
def test_a_page_that_says_nothing_of_it_sends_us_to_the_parent(
    site: Site, discovery: Callable[..., Discovery], own: Answer
) -> None:
    site.answers[BOTTOM] = own
    site.answers[MIDDLE] = Answer(meta(("discovery", "localhost/app", TEMPLATE)))
    assert len(discovery().endpoints(APP).endpoints) == 1
    assert site.paths() == [BOTTOM, MIDDLE]


def test_keys_are_sought_apart_from_archives(site: Site, discovery: Callable[..., Discovery]) -> None:
    site.answers[BOTTOM] = Answer(meta(("discovery", "localhost/app", TEMPLATE)))
    site.answers["/" + ROOT] = Answer(meta(("discovery-pubkeys", "localhost", f"{site.url}/keys")))
    asked = discovery()
    assert len(asked.endpoints(APP).endpoints) == 1
    assert asked.keys("localhost/app/part") == [f"{site.url}/keys"]


def test_on_no_match_one_line_says_what_each_page_said(
    site: Site, discovery: Callable[..., Discovery], tmp_path: Path
) -> None:
    site.answers[MIDDLE] = Answer(
        meta(("discovery", "localhost", "https://localhost/{name}-{channel}.{ext}"))
    )
    with pytest.raises(LadingError) as caught:
        discovery().endpoints(APP)
    text = str(caught.value)
    assert caught.value.reason == "no-discovery" and "\n" not in text
    assert "answered 404" in text and "{channel}" in text and f"{site.url}/app?ac-discovery=1" in text
    assert not kept(tmp_path)


# -- keeping pages --------------------------------------------------------------------------------------------------


def test_a_fresh_page_is_not_asked_for_again(
    site: Site, discovery: Callable[..., Discovery], tmp_path: Path
) -> None:
    site.answers[BOTTOM] = Answer(
        meta(("discovery", "localhost", TEMPLATE)), Cache_Control="public, max-age=60"
    )
    for now in (1000.0, 1059.0):
        assert len(discovery(now).endpoints(APP).endpoints) == 1
    assert len(site.asked) == 1
    discovery(1060.0).endpoints(APP)
    assert len(site.asked) == 2
    assert [path.stat().st_mode & 0o777 for path in kept(tmp_path)] == [0o600]


def test_a_page_with_an_etag_is_asked_whether_it_is_still_so(
    site: Site, discovery: Callable[..., Discovery]
) -> None:
    page = meta(("discovery", "localhost", TEMPLATE))

    def answer(request: Asked) -> Answer:
        if request.headers.get("if-none-match") == '"one"':
            return Answer(b"", 304)
        return Answer(page, ETag='"one"', Cache_Control="no-cache")

    site.answers[BOTTOM] = answer
    for _ in range(3):
        assert len(discovery().endpoints(APP).endpoints) == 1
    assert [request.headers.get("if-none-match") for request in site.asked] == [None, '"one"', '"one"']
    page = meta(("discovery", "localhost", "https://localhost/new-{name}.{ext}"))
    site.answers[BOTTOM] = Answer(page, ETag='"two"')
    assert discovery().endpoints(APP).endpoints[0].aci == "https://localhost/new-localhost/app/part.aci"


@pytest.mark.parametrize(
    "control", ["no-store", "no-store, max-age=60", "max-age=0", "max-age=-1", "max-age=9999999999999", ""]
)
def test_a_page_that_must_not_be_kept_is_not(
    site: Site, discovery: Callable[..., Discovery], tmp_path: Path, control: str
) -> None:
    site.answers[BOTTOM] = Answer(meta(("discovery", "localhost", TEMPLATE)), Cache_Control=control)
    discovery().endpoints(APP)
    assert not kept(tmp_path)


def test_an_age_counts_and_no_page_is_fresh_for_longer_than_a_day(
    site: Site, discovery: Callable[..., Discovery]
) -> None:
    site.answers[BOTTOM] = Answer(
        meta(("discovery", "localhost", TEMPLATE)), Cache_Control="max-age=999999999", Age="3600"
    )
    discovery(0.0).endpoints(APP)
    discovery(23 * 3600 - 1.0).endpoints(APP)
    assert len(site.asked) == 1
    discovery(23 * 3600 + 1.0).endpoints(APP)
    assert len(site.asked) == 2


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"{}", b'{"url": "x", "html": "", "etag": "", "expires": 9e99}', b"\xff"]
)
def test_a_kept_page_that_is_broken_is_asked_for_again(
    site: Site, discovery: Callable[..., Discovery], tmp_path: Path, damage: bytes
) -> None:
    site.answers[BOTTOM] = Answer(meta(("discovery", "localhost", TEMPLATE)), Cache_Control="max-age=60")
    discovery().endpoints(APP)
    kept(tmp_path)[0].write_bytes(damage)
    discovery().endpoints(APP)
    assert len(site.asked) == 2


def test_what_came_unverified_is_neither_kept_nor_taken_from_what_is(
    site: Site, discovery: Callable[..., Discovery], tmp_path: Path
) -> None:
    site.answers[BOTTOM] = Answer(meta(("discovery", "localhost", TEMPLATE)), Cache_Control="max-age=60")
    for more in ({"tls": False}, {"http": True}):
        discovery(**more).endpoints(APP)
    assert not kept(tmp_path) and len(site.asked) == 2


def test_of_too_many_pages_the_oldest_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lading.images.aci import discover

    monkeypatch.setattr(discover, "_MOST_PAGES", 3)
    pages = Pages(str(tmp_path / "pages"))
    for number in range(5):
        pages.put(discover.Page(f"https://localhost/{number}", "", '"e"', 0.0))
    assert len(kept(tmp_path)) == 3 and pages.get("https://localhost/4") is not None


# -- secrets --------------------------------------------------------------------------------------------------------


def _credential(config: Path, name: str, domain: str, **more: object) -> None:
    (config / "auth.d").mkdir(parents=True, exist_ok=True)
    record = {"rktKind": "auth", "rktVersion": "v1", "domains": [domain], **more}
    (config / "auth.d" / f"{name}.json").write_text(json.dumps(record))


def test_credentials_go_to_their_host_and_path_alone(
    site: Site, discovery: Callable[..., Discovery], config: Path
) -> None:
    _credential(
        config, "a", f"localhost:{site.port}", type="basic", credentials={"user": "ann", "password": "pw"}
    )
    _credential(config, "b", f"localhost:{site.port}/app/part", type="oauth", credentials={"token": "tok"})
    site.answers["/" + ROOT] = Answer(meta(("discovery", "localhost", TEMPLATE)))
    discovery().endpoints(APP)
    assert [r.headers.get("authorization") for r in site.asked] == [
        "Bearer tok",
        "Basic YW5uOnB3",
        "Basic YW5uOnB3",
    ]


def test_a_redirect_takes_no_credentials_along(
    site: Site, discovery: Callable[..., Discovery], config: Path
) -> None:
    _credential(config, "a", f"localhost:{site.port}", type="oauth", credentials={"token": "tok"})
    site.answers[BOTTOM] = Answer(b"", 302, Location=f"https://127.0.0.1:{site.port}/moved")
    site.answers["/moved"] = Answer(meta(("discovery", "localhost", TEMPLATE)))
    assert len(discovery().endpoints(APP).endpoints) == 1
    assert [r.headers.get("authorization") for r in site.asked] == ["Bearer tok", None]


def test_a_broken_credential_file_is_named(config: Path) -> None:
    _credential(config, "broken", "localhost", type="password")
    with pytest.raises(LadingError, match=r"broken\.json"):
        Web(str(config))


# -- pages that mean harm -------------------------------------------------------------------------------------------


def _loop(site: Site) -> Answer:
    return Answer(b"", 302, Location=BOTTOM)


def _down_to_http(site: Site) -> Answer:
    return Answer(b"", 302, Location=f"http://localhost:{site.port}/")


def _nowhere(site: Site) -> Answer:
    return Answer(b"", 302)


def _huge(site: Site) -> Answer:
    return Answer(iter(b"<p>" * 10000 for _ in range(100)))


def _announced_huge(site: Site) -> Answer:
    return Answer(b"", Content_Length=str(1 << 40))


def _cut_off(site: Site) -> Answer:
    return Answer(b"<html>", Content_Length="1000")


def _many_tags(site: Site) -> Answer:
    return Answer(meta(*[("discovery", "localhost", TEMPLATE)] * 1000))


def _broken(site: Site) -> Answer:
    return Answer(b"", 500)


def _wrong_304(site: Site) -> Answer:
    return Answer(b"", 304)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_loop, "redirect"), (_down_to_http, "redirect"), (_nowhere, "redirect"), (_huge, "too-large"),
        (_announced_huge, "too-large"),
        (_cut_off, "connection"), (_many_tags, "discovery-page"), (_broken, "status"), (_wrong_304, "status"),
    ],
)  # fmt: skip
def test_a_page_that_means_harm_is_one_error_and_nothing_is_kept(
    site: Site,
    discovery: Callable[..., Discovery],
    tmp_path: Path,
    make: Callable[[Site], Answer],
    reason: str,
) -> None:
    site.answers[BOTTOM] = lambda _: make(site)
    site.answers[MIDDLE] = Answer(meta(("discovery", "localhost", TEMPLATE)))
    with pytest.raises(LadingError) as caught:
        discovery().endpoints(APP)
    assert caught.value.reason == reason and "\n" not in str(caught.value)
    assert not kept(tmp_path) and MIDDLE not in site.paths()


def test_a_page_that_trickles_is_given_up(
    site: Site, discovery: Callable[..., Discovery], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    monkeypatch.setattr(remote_http, "HEADER_SECONDS", 0.5)
    enough = threading.Event()

    def trickle() -> Iterator[bytes]:
        for _ in range(600):  # a minute, and never long without a byte
            if enough.wait(0.1):
                return
            yield b" "

    site.answers[BOTTOM] = lambda _: Answer(trickle())
    try:
        with pytest.raises(LadingError) as caught:
            discovery().endpoints(APP)
    finally:
        enough.set()
    assert caught.value.reason == "stalled" and not kept(tmp_path)


def test_a_name_with_very_many_parts_asks_nobody(site: Site, discovery: Callable[..., Discovery]) -> None:
    with pytest.raises(LadingError):
        discovery().endpoints(Wanted("localhost" + "/a" * 40))
    assert site.asked == []


# -- who is believed ------------------------------------------------------------------------------------------------


def test_a_certificate_of_nobody_known_is_refused_unless_asked_for(
    site: Site, discovery: Callable[..., Discovery], config: Path
) -> None:
    site.answers[BOTTOM] = Answer(meta(("discovery", "localhost", TEMPLATE)))
    for file in config.glob("certs.d/*/ca.crt"):
        file.unlink()
    with pytest.raises(LadingError) as caught:
        discovery().endpoints(APP)
    assert caught.value.reason == "certificate" and site.asked == []
    assert len(discovery(tls=False).endpoints(APP).endpoints) == 1


def test_plain_http_is_asked_only_when_allowed(tmp_path: Path, config: Path) -> None:
    with Site(None) as site:
        site.answers[BOTTOM] = Answer(meta(("discovery", "localhost", TEMPLATE)))
        with Web(str(config), environ={}) as web, pytest.raises(LadingError):
            Discovery(web, 0.0, port=site.port).endpoints(APP)
        assert site.asked == []
        with Web(str(config), http=True, environ={}) as web:
            assert len(Discovery(web, 0.0, port=site.port).endpoints(APP).endpoints) == 1


def test_a_url_of_plain_http_is_refused_and_gets_no_credentials_when_allowed(
    config: Path, authority: Authority
) -> None:
    with Site(None) as site:
        _credential(config, "a", f"localhost:{site.port}", type="oauth", credentials={"token": "tok"})
        site.answers["/key"] = Answer(b"key")
        with Web(str(config), environ={}) as web, pytest.raises(LadingError) as caught:
            web.read(f"{site.url}/key", 100, what="key")
        assert caught.value.reason == "plain-http" and site.asked == []
        with Web(str(config), http=True, environ={}) as web:
            assert web.read(f"{site.url}/key", 100, what="key") == b"key"
        assert "authorization" not in site.asked[0].headers
