"""The two modules beside the floors: errors read as one line, roots never collide."""

from __future__ import annotations

import errno
import zlib

from lading import errors
from lading.roots import Roots


def test_an_error_reads_as_one_line_with_its_hint() -> None:
    assert str(errors.NotFound("image 'x' is not here", hint="pull it")) == "image 'x' is not here: pull it"


def test_every_error_class_has_a_reason_of_its_own() -> None:
    classes = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, errors.LadingError)]
    reasons = [c.reason for c in classes]
    assert len(set(reasons)) == len(reasons)


def test_a_kernel_error_names_call_and_cause_and_keeps_the_number() -> None:
    error = errors.KernelError("mount(/x)", errno.EBUSY)
    assert (error.errno, str(error)) == (errno.EBUSY, "mount(/x): Device or resource busy")


def test_exit_statuses_are_those_of_docker() -> None:
    assert errors.LadingError("x").exit_status == 125
    assert errors.CommandNotExecutable("x").exit_status == 126
    assert errors.CommandNotFound("x").exit_status == 127


def test_roots_of_root_are_the_system_directories_and_of_a_user_the_xdg_ones(tmp_path) -> None:
    assert Roots.default({}, 0).data == "/var/lib/lading"
    user = Roots.default({"HOME": "/home/u", "XDG_RUNTIME_DIR": str(tmp_path)}, 1000)
    assert (user.data, user.run) == ("/home/u/.local/share/lading", f"{tmp_path}/lading")


def test_variables_override_every_root() -> None:
    roots = Roots.default({"LADING_ROOT": "/a", "LADING_RUN": "/b", "LADING_CONFIG": "/c"}, 0)
    assert (roots.data, roots.run, roots.config) == ("/a", "/b", "/c")


def test_two_roots_never_share_a_kernel_name() -> None:
    assert Roots("/a", "", "", 0).tag != Roots("/b", "", "", 0).tag
    assert Roots("/var/lib/lading", "", "", 0).tag == "lading"
    for path in ("/a", "/srv/größer", "/" + "x" * 300):
        assert Roots(path, "", "", 0).tag == f"lading-{zlib.crc32(path.encode()) & 0xFFFFFF:06x}"
