"""Calling C: ``_ctypes``, the half of ctypes that is written in C, without the half that is written in Python.

Importing ``ctypes`` makes classes for types of every width and byte order, and takes a millisecond and a half of a
process that lives forty. The few types that system calls and three libraries need are declared here.

Types are named by one letter: ``s`` bytes or None, ``p`` pointer (an address, bytes that are only read, a :func:`buffer` or
None), ``i`` int, ``l`` long, and ``I`` and ``L`` for the unsigned ones. ``v`` is a result that nobody wants.
"""

from __future__ import annotations

from _ctypes import (
    FUNCFLAG_CDECL,
    FUNCFLAG_PYTHONAPI,
    FUNCFLAG_USE_ERRNO,
    CFuncPtr,
    _SimpleCData,
    addressof,
    dlopen,
    get_errno,
    sizeof,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Functions", "Library", "addressof", "buffer", "get_errno", "pointer_size"]


class _Text(_SimpleCData):  # type: ignore[type-arg]
    _type_ = "z"


class _Pointer(_SimpleCData):  # type: ignore[type-arg]
    _type_ = "P"


class _Int(_SimpleCData):  # type: ignore[type-arg]
    _type_ = "i"


class _UInt(_SimpleCData):  # type: ignore[type-arg]
    _type_ = "I"


class _Long(_SimpleCData):  # type: ignore[type-arg]
    _type_ = "l"


class _ULong(_SimpleCData):  # type: ignore[type-arg]
    _type_ = "L"


class _Char(_SimpleCData):  # type: ignore[type-arg]
    _type_ = "c"


_TYPES = {"s": _Text, "p": _Pointer, "i": _Int, "I": _UInt, "l": _Long, "L": _ULong, "v": None}


class _Function(CFuncPtr):
    """A C function; other threads may run meanwhile."""

    _flags_ = FUNCFLAG_CDECL | FUNCFLAG_USE_ERRNO
    _restype_ = _Int


class _LockedFunction(CFuncPtr):
    """A C function that is called with the interpreter's lock held."""

    _flags_ = FUNCFLAG_CDECL | FUNCFLAG_USE_ERRNO | FUNCFLAG_PYTHONAPI
    _restype_ = _Int


class Library:
    """A shared library; without a name, what this process has loaded. Raises OSError when there is none."""

    def __init__(self, name: str | None = None) -> None:
        self._handle = dlopen(name, 0)  # type: ignore[arg-type]

    def function(self, name: str, result: str, arguments: str, *, locked: bool = False) -> Any:
        """The function ``name``, typed; AttributeError when there is none. ``locked`` keeps the interpreter's lock."""
        where: Any = (name, self)  # the handle is all that is asked of a library
        made: Any = (_LockedFunction if locked else _Function)(where)
        made.argtypes = [_TYPES[letter] for letter in arguments]
        made.restype = _TYPES[result]
        return made


class Functions:
    """A library's functions as attributes. Raises OSError for a library, AttributeError for a function that is missing."""

    def __init__(self, library: str, rows: tuple[tuple[str, str, str], ...]) -> None:
        """``rows`` are names, results and arguments."""
        loaded = Library(library)
        for name, result, arguments in rows:
            setattr(self, name, loaded.function(name, result, arguments))

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...


def buffer(data: bytes | int) -> Any:
    """A mutable C buffer (bytes or a size); pass it as a pointer argument. ``raw`` is what it holds.

    For what C writes into. What it only reads is passed as bytes: each length of a buffer makes a type, 15 microseconds.
    """
    if isinstance(data, int):
        return (_Char * data)()
    made: Any = (_Char * len(data))()
    made.raw = data
    return made


def pointer_size() -> int:
    """Bytes of an address in this process."""
    return sizeof(_Pointer)
