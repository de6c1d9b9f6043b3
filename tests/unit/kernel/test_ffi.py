"""C calls over the interpreter's own ``_ctypes``."""

from __future__ import annotations

import ctypes
import errno
import os

import pytest

from lading.kernel import ffi


def test_results_and_arguments_have_their_types() -> None:
    libc = ffi.Library()
    assert libc.function("strlen", "L", "s")(b"seven c") == 7
    assert libc.function("strlen", "L", "p")(b"bytes are pointers too") == 22
    assert libc.function("labs", "l", "l")(-(1 << 40)) == 1 << 40
    assert libc.function("abs", "i", "i")(-5) == 5
    assert libc.function("srand", "v", "I")(1) is None
    where = libc.function("strchr", "p", "pi")
    text = ffi.buffer(b"ab\0")
    assert where(text, ord("b")) == ffi.addressof(text) + 1
    assert where(text, ord("z")) is None
    assert libc.function("strdup", "s", "s")(b"copy") == b"copy"


def test_the_call_s_own_errno_is_kept_whatever_happens_between() -> None:
    assert ffi.Library().function("close", "i", "i")(-1) == -1
    os.path.exists("/does/not/exist")
    assert ffi.get_errno() == errno.EBADF


def test_a_locked_function_counts_references_safely() -> None:
    identity = ffi.Library().function("PyLong_FromLong", "p", "l", locked=True)
    assert identity(1) == id(1)


def test_buffers_hold_what_they_are_given() -> None:
    made = ffi.buffer(b"a\0b")
    assert made.raw == b"a\0b" and len(made) == 3
    assert ffi.buffer(4).raw == bytes(4)
    assert ffi.buffer(b"").raw == b""
    assert ffi.pointer_size() == ctypes.sizeof(ctypes.c_void_p)


def test_what_is_missing_is_said() -> None:
    with pytest.raises(OSError, match="libnothing"):
        ffi.Library("libnothing.so.9")
    with pytest.raises(AttributeError):
        ffi.Library().function("no_such_function_here", "i", "")
    assert ffi.Functions("libc.so.6", (("abs", "i", "i"),)).abs(-3) == 3


def test_buffers_and_the_full_ctypes_understand_each_other() -> None:
    strlen = ctypes.CDLL(None).strlen
    strlen.argtypes = [ctypes.c_void_p]
    assert strlen(ffi.buffer(b"four\0")) == 4
