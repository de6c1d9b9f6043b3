"""Image IDs, versions, timestamps, URLs, UUIDs and modes, as the specification's types chapter has them."""

from __future__ import annotations

import datetime
import os
import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lading.errors import InvalidInput, Unsupported
from lading.formats.appc import values

FUZZ = settings(max_examples=5_000 if os.environ.get("LADING_FUZZ") else 100, deadline=None)


ID = "sha512-" + "0f" * 64


def test_an_image_id_and_the_stores_digest_are_two_spellings() -> None:
    assert values.check_image_id(ID, "id") == ID
    assert values.image_id_of(values.digest_of(ID)) == ID


@pytest.mark.parametrize(
    ("text", "why"),
    [("sha512-" + "0f" * 63, "not an image ID"), ("sha512-" + "0F" * 64, "not an image ID"), ("sha512-...", "not an image ID"),
     ("sha256-" + "0f" * 32, "not sha512"), ("sha512:" + "0f" * 64, "not an image ID"), ("", "not an image ID"),
     ("sha512-", "not an image ID"), (ID + "\n", "not an image ID")],
)  # fmt: skip
def test_what_is_no_image_id_is_refused(text: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=f"^image.id: .*{why}"):
        values.check_image_id(text, "image.id")


@pytest.mark.parametrize(
    ("text", "digits"),
    [("sha512-abcd", "abcd"), (ID, "0f" * 64), ("sha512-abc", None), ("sha512-xyz1", None), ("abcd", None),
     ("sha512-" + "0" * 129, None)],
)  # fmt: skip
def test_a_prefix_of_an_image_id_has_four_digits_or_more(text: str, digits: str | None) -> None:
    assert values.id_prefix(text) == digits


@pytest.mark.parametrize(
    "text", ["0.8.11", "0.8.11+git", "0.1.0-alpha.1", "0.1.0-0a", "0.1.0--", "0.1.0-x-y-z.4+a.b.001", "0.0.1"]
)
def test_a_semantic_version_of_this_series_is_accepted(text: str) -> None:
    values.check_header("ImageManifest", text, "ImageManifest", "manifest")


@pytest.mark.parametrize(
    "text", ["", "0", "0.8", "v0.8.11", "0.8.11.1", "00.8.1", "0.08.1", "0.8.1-", "0.8.1-01", "0.8.1+", "0.8.1-a..b", "0.0.0",
    "0.8.x"]
)  # fmt: skip
def test_another_version_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"^manifest\.acVersion: "):
        values.check_header("ImageManifest", text, "ImageManifest", "manifest")


def test_another_major_version_is_not_supported() -> None:
    with pytest.raises(Unsupported, match=r"acVersion: version 1\.0\.0"):
        values.check_header("ImageManifest", "1.0.0", "ImageManifest", "")


@pytest.mark.parametrize("kind", ["", "PodManifest", "imagemanifest", "ImageManifest "])
def test_another_kind_is_refused(kind: str) -> None:
    with pytest.raises(InvalidInput, match=r"^acKind: "):
        values.check_header(kind, "0.8.11", "ImageManifest", "")


@pytest.mark.parametrize(
    "text",
    ["2014-10-27T19:32:27.67021798Z", "2015-05-18T13:49:28.351729952-04:00", "2015-05-18T13:49:28Z", "2016-02-29T00:00:00+14:00",
     "2016-12-31T23:59:60Z", "0001-01-01T00:00:00Z"],
)  # fmt: skip
def test_a_timestamp_of_rfc_3339_is_one(text: str) -> None:
    assert values.is_timestamp(text)


@pytest.mark.parametrize(
    "text",
    ["", "2015-05-18 13:49:28Z", "2015-05-18", "2015-05-18T13:49:28", "2015-05-18T13:49Z", "2015-13-18T13:49:28Z",
     "2015-02-29T13:49:28Z", "2015-05-18T24:00:00Z", "2015-05-18T13:60:00Z", "2015-05-18T13:49:28.Z", "2015-5-18T13:49:28Z",
     "2015-05-18t13:49:28z", "2015-05-18T13:49:28+0400", "15-05-18T13:49:28Z", "2015-05-18T13:49:28+24:00"],
)  # fmt: skip
def test_another_text_is_no_timestamp(text: str) -> None:
    assert not values.is_timestamp(text)


@pytest.mark.fuzz
@pytest.mark.timeout(900)
@FUZZ
@given(
    st.datetimes(
        timezones=st.sampled_from(
            [datetime.UTC, datetime.timezone(datetime.timedelta(hours=-7, minutes=-30))]
        )
    )
)
def test_every_moment_that_python_writes_is_a_timestamp(moment: datetime.datetime) -> None:
    assert values.is_timestamp(moment.isoformat())


@pytest.mark.parametrize(
    "text", ["https://example.com", "http://example.com/docs?a=b#c", "HTTPS://u@example.com:8443/"]
)
def test_a_web_address_is_one(text: str) -> None:
    assert values.is_web_url(text)


@pytest.mark.parametrize(
    "text", ["", "example.com", "ftp://example.com", "https://", "https:///x", "https://:80/", "https://a b/", "mailto:a@b",
    "https://a\n"]
)  # fmt: skip
def test_another_text_is_no_web_address(text: str) -> None:
    assert not values.is_web_url(text)


@pytest.mark.fuzz
@pytest.mark.timeout(900)
@FUZZ
@given(st.uuids().filter(lambda u: u.int != 0))
def test_a_uuid_is_read_in_both_forms_and_cases(made: uuid.UUID) -> None:
    for text in (str(made), str(made).upper(), made.hex):
        assert values.uuid_bytes(text) == made.bytes
    assert values.uuid_text(made.bytes) == str(made)


@pytest.mark.parametrize(
    "text",
    ["", "6733c088", "6733c088-a507-4694-aabf-edbe4fc5266", "00000000-0000-0000-0000-000000000000",
     "6733c088a507-4694-aabf-edbe4fc5266f", "6733c088-a507-4694-aabf-edbe4fc5266g", "6-733c088a5074694aabfedbe4fc5266f000"],
)  # fmt: skip
def test_another_text_is_no_uuid(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"^uuid: "):
        values.uuid_bytes(text)


@pytest.mark.parametrize(
    ("text", "mode"), [("0755", 0o755), ("755", 0o755), ("1777", 0o1777), ("0", 0), ("07777", 0o7777)]
)
def test_a_mode_is_octal(text: str, mode: int) -> None:
    assert values.check_mode(text, "mode") == mode


@pytest.mark.parametrize("text", ["", "0855", "rwx", "010000", "-755", "0o755", "\u0667"])
def test_another_text_is_no_mode(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"^mode: "):
        values.check_mode(text, "mode")
