"""Durations, signals, ports, mounts and environment files: what Docker's users type, read or refused precisely."""

from __future__ import annotations

import time

import pytest

from lading.errors import InvalidInput, LadingError, Unsupported
from lading.formats import duration, env, mountspec, ports, signals
from lading.formats.pod import BindMount, TmpfsMount

# -- durations and moments -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("1m30s", 90),
        ("500ms", 0.5),
        ("1.5h", 5400),
        ("0", 0),
        ("2h45m", 9900),
        ("1us", 1e-6),
        (".5s", 0.5),
    ],
)
def test_a_duration_is_gos(text: str, seconds: float) -> None:
    assert duration.seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "s", "1d", "1.2.3s", "1s2", "one", "1 s", "-1s", "9" * 40 + "h"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        duration.seconds(text)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("10m", 1_700_000_000 - 600), ("1699999999", 1699999999), ("1699999999.5", 1699999999.5),
        ("2023-11-14T22:13:20Z", 1_700_000_000), ("2023-11-14T22:13:20.250000001Z", 1_700_000_000.25),
        ("2023-11-14T23:13:20+01:00", 1_700_000_000), ("2023-11-14T23:13:20.5+01:00", 1_700_000_000.5),
        ("0001-01-01T00:00:00Z", -62_135_596_800), ("253402300799", 253_402_300_799),
    ],
)  # fmt: skip
def test_a_moment_is_a_date_a_time_or_a_duration_ago(text: str, moment: float) -> None:
    assert duration.moment(text, 1_700_000_000) == pytest.approx(moment)


@pytest.mark.parametrize(
    "text",
    [
        "yesterday", "2023-13-01T00:00:00Z", "12:00", "", "9" * 400, "253402300800", "0001-01-01", "2023-11-14T22:13:20.²Z",
        "2023-11-14T22:13:20.5.5Z", "2023-11-14T22:13:20.Z", "2023-11-14T22:13:20.5x", "2023-11-1\uff14T22:13:20Z",
    ],
)  # fmt: skip
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        duration.moment(text, 0)


def test_durations_are_shown_as_go_and_docker_show_them() -> None:
    assert [duration.shown(s) for s in (0, 90, 3600, 0.5, 30.25)] == [
        "0s",
        "1m30s",
        "1h0m0s",
        "500ms",
        "30.25s",
    ]
    ages = (0.5, 1, 59, 61, 3600, 7200, 86400 * 3, 86400 * 20, 86400 * 90, 86400 * 800)
    assert [duration.ago(a) for a in ages] == [
        "Less than a second", "1 second", "59 seconds", "About a minute", "About an hour", "2 hours", "3 days", "2 weeks",
        "3 months", "2 years",
    ]  # fmt: skip
    assert duration.rfc3339(1_700_000_000.5) == "2023-11-14T22:13:20.500000000Z"


# -- signals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("KILL", 9),
        ("SIGKILL", 9),
        ("sigterm", 15),
        ("9", 9),
        ("RTMIN", 34),
        ("SIGRTMIN+3", 37),
        ("RTMAX-1", 63),
        ("IOT", 6),
    ],
)
def test_a_signal_goes_by_name_or_number(text: str, number: int) -> None:
    assert signals.number(text) == number


@pytest.mark.parametrize(
    "text", ["", "0", "65", "-1", "NOPE", "SIG", "RTMIN+99", "RTMAX+1", "SIG_DFL", "DFL", "1.5"]
)
def test_an_unknown_signal_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        signals.number(text)


def test_a_signal_is_named() -> None:
    assert [signals.name(n) for n in (15, 9, 34, 37, 6)] == [
        "SIGTERM",
        "SIGKILL",
        "SIGRTMIN",
        "SIGRTMIN+3",
        "SIGABRT",
    ]


# -- ports ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("80", [("", 0, 80, "tcp")]),
        ("8080:80", [("", 8080, 80, "tcp")]),
        ("8080:80/udp", [("", 8080, 80, "udp")]),
        ("53:53/UDP", [("", 53, 53, "udp")]),
        ("127.0.0.1:8080:80", [("127.0.0.1", 8080, 80, "tcp")]),
        ("127.0.0.1::80", [("127.0.0.1", 0, 80, "tcp")]),
        ("[::1]:8080:80", [("::1", 8080, 80, "tcp")]),
        ("[::]::80", [("::", 0, 80, "tcp")]),
        (":80", [("", 0, 80, "tcp")]),
        ("0:80", [("", 0, 80, "tcp")]),
        ("8000-8001:80-81", [("", 8000, 80, "tcp"), ("", 8001, 81, "tcp")]),
        ("80-81", [("", 0, 80, "tcp"), ("", 0, 81, "tcp")]),
        ("9:9/sctp", [("", 9, 9, "sctp")]),
    ],
)
def test_a_port_is_published_as_written(text: str, found: list[tuple[str, int, int, str]]) -> None:
    assert [(p.host_ip, p.host_port, p.port, p.protocol) for p in ports.publish(text)] == found


def test_an_ipv6_address_may_stand_without_its_brackets() -> None:
    (one,) = ports.publish("fd00::1:8080:80/udp")
    assert (one.host_ip, one.host_port, one.port, one.protocol) == ("fd00::1", 8080, 80, "udp")


def test_a_range_on_the_host_for_one_port_is_kept_for_choosing() -> None:
    (one,) = ports.publish("8000-8010:80")
    assert (one.host_port, one.host_end, one.port) == (8000, 8010, 80)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "missing"), ("0", "'0' is not"), ("65536", "65536"), ("80:", "missing"), ("a:80", "'a'"), ("80:80/icmp", "icmp"),
        ("1.2.3:80:80", "1.2.3"), ("::x:80:80", "IPv6"), ("[::1]80", "HOST_PORT"), ("[1.2.3.4]:1:1", "IPv6"),
        ("8001-8000:1-2", "backwards"), ("8000-8002:1-2", "differ in length"), ("80/", "protocol"), ("-1:80", "missing"),
        ("1:2:3:4", "IPv6"), ("80:80:80", "IPv4"), ("+80", "+80"), ("8 0", "8 0"),
    ],
)  # fmt: skip
def test_what_is_no_port_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        ports.publish(text)
    assert why in caught.value.message


# -- mounts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "mount"),
    [
        ("/data", BindMount(target="/data")),
        ("data:/data", BindMount(target="/data", volume="data")),
        ("/srv:/data", BindMount(target="/data", source="/srv", create_source=True)),
        ("./x:/data:ro", BindMount(target="/data", source="/here/x", read_only=True, create_source=True)),
        ("../x:/data", BindMount(target="/data", source="/x", create_source=True)),
        (
            "/srv:/d:ro,rslave",
            BindMount(target="/d", source="/srv", read_only=True, propagation="rslave", create_source=True),
        ),
        ("v1:/d:nocopy", BindMount(target="/d", volume="v1", copy_up=False)),
        ("/srv:/d:cached", BindMount(target="/d", source="/srv", create_source=True)),
        ("/srv:/d:noexec", BindMount(target="/d", source="/srv", options=["noexec"], create_source=True)),
        ("/a/../b/./c//d:/x/../y", BindMount(target="/y", source="/b/c/d", create_source=True)),
        ("/data:ro", BindMount(target="/data", read_only=True)),
    ],
)
def test_a_volume_is_mounted_as_written(text: str, mount: BindMount) -> None:
    assert mountspec.volume(text, cwd="/here") == mount


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("data", "absolute"), (":/x", "expected"), ("a:", "expected"), ("a:b:c:d", "expected"), ("/a:/", "may not be /"),
        ("/a:b", "absolute"), ("x:/y", "volume name"), ("na me:/y", "volume name"), ("/a:/b:rw,ro", "more than one"),
        ("/a:/b:what", "unknown"), ("/a:/b:nocopy", "for volumes"), ("vol:/b:shared", "for binds"), ("/a:/b:ro,ro", "more than"),
        ("~/x:/y", "volume name"), ("/x:", "expected"),
    ],
)  # fmt: skip
def test_what_is_no_volume_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        mountspec.volume(text, cwd="/here")
    assert why in str(caught.value)


def test_overlay_and_chown_options_are_refused_by_name() -> None:
    with pytest.raises(Unsupported, match="'U'"):
        mountspec.volume("/a:/b:U", cwd="/")


@pytest.mark.parametrize(
    ("text", "mount"),
    [
        ("type=bind,source=/a,target=/b", BindMount(target="/b", source="/a")),
        ("type=bind,src=a,dst=/b,ro", BindMount(target="/b", source="/here/a", read_only=True)),
        ("type=bind,source=/a,target=/b,readonly=false,bind-propagation=rshared",
         BindMount(target="/b", source="/a", propagation="rshared")),
        ("type=bind,source=/a,target=/b,bind-recursive=disabled", BindMount(target="/b", source="/a", recursive=False)),
        ("source=vol,target=/b,volume-nocopy", BindMount(target="/b", volume="vol", copy_up=False)),
        ("type=volume,target=/b,volume-driver=tmpfs,volume-opt=o=size=1m",
         BindMount(target="/b", driver="tmpfs", driver_options={"o": "size=1m"})),
        ('type=volume,source=vol,target=/b,"volume-opt=o=a,b"',
         BindMount(target="/b", volume="vol", driver_options={"o": "a,b"})),
        ("type=tmpfs,target=/t,tmpfs-size=64m,tmpfs-mode=1770", TmpfsMount(path="/t", options=["size=67108864", "mode=1770"])),
    ],
)  # fmt: skip
def test_a_mount_is_read_field_by_field(text: str, mount: object) -> None:
    assert mountspec.mount(text, cwd="/here") == mount


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "unknown"), ("type=bind,target=/b", "source is missing"), ("type=bind,source=/a", "target is missing"),
        ("type=x,target=/b", "type 'x'"), ("type=bind,source=/a,target=b", "absolute"),
        ("type=tmpfs,source=a,target=/b", "source"),
        ("type=tmpfs,target=/b,tmpfs-mode=9", "octal"), ("type=tmpfs,target=/b,tmpfs-size=x", "tmpfs-size"),
        ("type=bind,source=/a,target=/b,volume-nocopy", "does not go"), ("type=bind,source=/a,target=/b,zzz=1", "zzz"),
        ("type=bind,source=/a,target=/b,target=/c", "twice"), ("target=/b,readonly=maybe", "true or false"),
        ('target=/b,"x', "quote"), ("source,target=/b", "wants a value"),
        ("type=bind,source=/a,target=/b,bind-propagation=no", "'no'"),
    ],
)  # fmt: skip
def test_what_is_no_mount_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        mountspec.mount(text, cwd="/")
    assert why in str(caught.value)


@pytest.mark.parametrize(
    "text", ["type=image,source=a,target=/b", "type=npipe,target=/b", "type=image,target=/b,image-subpath=x"]
)
def test_mounts_that_are_not_done_are_refused_by_name(text: str) -> None:
    with pytest.raises(Unsupported):
        mountspec.mount(text, cwd="/")


def test_a_tmpfs_takes_the_options_of_tmpfs() -> None:
    assert mountspec.tmpfs("/run:size=64m,mode=1777,noexec").options == ["size=64m", "mode=1777", "noexec"]
    for bad in ("run", "/", "/run:bad", "/run:size", "/run:noexec=1"):
        with pytest.raises(InvalidInput):
            mountspec.tmpfs(bad)


@pytest.mark.parametrize(
    "good", ["size=50%", "size=1", "nr_inodes=1k", "nr_blocks=2m", "mode=0", "mode=01777", "uid=0", "gid=4294967294",
             "huge=advise", "mpol=interleave:0-1"]
)  # fmt: skip
def test_a_tmpfs_takes_every_value_of_tmpfs(good: str) -> None:
    assert mountspec.tmpfs(f"/t:{good}").options == [good]


@pytest.mark.parametrize(
    "bad", ["size=x", "size=²", "size=5kkk%", "size=%", "size=1t", "size=" + "9" * 20, "nr_inodes=-1", "nr_inodes=5%", "mode=999",
            "mode=10000", "mode=", "uid=abc", "uid=4294967295", "gid=-1", "huge=sometimes", "mpol="]
)  # fmt: skip
def test_a_value_that_tmpfs_does_not_take_is_refused_here_by_its_name(bad: str) -> None:
    """The kernel's own answer is EINVAL for the whole mount, when everything else of the container is made already."""
    with pytest.raises(InvalidInput, match=bad.partition("=")[0]):
        mountspec.tmpfs(f"/t:{bad}")


# -- environment ---------------------------------------------------------------------------------------------------


def test_an_env_file_is_taken_as_it_stands() -> None:
    data = b"\xef\xbb\xbf# comment\n\nA=1\nB='q u'\n  C=x \r\nD\nE\nF=a=b\n"
    found = env.file_pairs(data, {"D": "from here"}, where="f")
    assert found == [("A", "1"), ("B", "'q u'"), ("C", "x "), ("D", "from here"), ("F", "a=b")]


@pytest.mark.parametrize("data", [b"=x\n", b"A B=1\n", b"\xff=1\n", b"A =1\n", b"A=\0\n"])
def test_a_bad_line_of_an_env_file_is_named(data: bytes) -> None:
    with pytest.raises(InvalidInput, match=r"f"):
        env.file_pairs(data, {}, where="f")


def test_a_variable_without_value_comes_from_the_caller() -> None:
    assert env.pair("A", {"A": "1"}) == ("A", "1")
    assert env.pair("B", {"A": "1"}) is None
    assert env.pair("A=", {"A": "1"}) == ("A", "")
    with pytest.raises(LadingError):
        env.pair("=x", {})


def test_a_part_of_a_volume_is_named_by_a_path_inside_it() -> None:
    made = mountspec.mount("source=data,target=/b,volume-subpath=in/it", cwd="/")
    assert isinstance(made, BindMount)
    assert (made.volume, made.sub_path, made.copy_up) == ("data", "in/it", False)
    for bad in ("volume-subpath=/x,source=aa", "volume-subpath=a/../../b,source=aa", "volume-subpath=x"):
        with pytest.raises(InvalidInput, match="volume-subpath"):
            mountspec.mount(f"target=/b,{bad}", cwd="/")
    with pytest.raises(InvalidInput, match="does not go with"):
        mountspec.mount("type=bind,source=/a,target=/b,volume-subpath=x", cwd="/")


def test_a_long_line_of_comma_separated_values_takes_no_square_of_its_length() -> None:
    begun = time.process_time()
    assert mountspec.csv('"' + '""' * 1_000_000 + 'a,"') == ['"' * 1_000_000 + "a,"]
    assert time.process_time() - begun < 10
