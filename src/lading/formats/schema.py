"""Typed records that cost nothing to import.

Every format (OCI image, OCI runtime, Pod) is declared once as a subclass of :class:`Record`: annotations name
the fields, class attributes their defaults. Decoding, strict validation with a path to the culprit, and encoding
come from that declaration.

Why not ``msgspec`` or ``dataclasses``: ``lading run`` and ``lading-runtime`` build and read these records in a
process that lives 40 ms. Importing ``msgspec`` takes 13 ms of that and ``dataclasses`` 16 ms; this module takes
less than one. See docs/decisions/0001-light-records.md.

Supported annotations: ``str int bool float None object``, another Record, ``list[T]``, ``dict[str, T]`` and
``T | None``. ``object`` means any JSON value. Annotations are strings (``from __future__ import annotations``) and
are resolved the first time a document has the field, so importing a format module resolves nothing.
"""

from __future__ import annotations

import sys

from lading.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, ClassVar, Self, dataclass_transform
else:

    def dataclass_transform(**_kw):
        return lambda cls: cls


# types has names for these two, and is a module of its own to find and read.
_ALIAS: Any = type(list[int])
_UNION: Any = type(int | None)
_EMPTY = (list, dict)


@dataclass_transform(kw_only_default=True)
class Record:
    """Base of all formats. Keyword-only construction; equality by fields; absent optional fields are defaults.

    ``_wire`` maps an attribute name to its name on the wire where that is not plain camelCase.
    ``_keep_empty`` names fields that are encoded even when they hold their default.
    """

    _wire: ClassVar[dict[str, str]] = {}
    _keep_empty: ClassVar[tuple[str, ...]] = ()
    _fields: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        base = cls._fields
        own = cls.__dict__.get("__annotations__", ())
        cls._fields = (*base, *[name for name in own if name[0] != "_" and name not in base])

    def __init__(self, **values: Any) -> None:
        cls = type(self)
        own = self.__dict__
        fields, copied, needed = _template(cls)
        own.update(fields)
        own.update(values)
        if len(own) != len(fields):
            name = next(name for name in values if name not in fields)
            raise TypeError(f"{cls.__name__} has no field {name!r}")
        for name in needed:
            if name not in values:
                raise TypeError(f"{cls.__name__} needs {name!r}")
        for name in copied:
            if own[name] is fields[name]:
                own[name] = _fresh(fields[name])

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown = ", ".join(
            f"{n}={v!r}"
            for n, v in self.__dict__.items()
            if v is not None and v != getattr(type(self), n, ...)
        )
        return f"{type(self).__name__}({shown})"

    def replace(self, **changes: Any) -> Self:
        """A shallow copy with ``changes`` applied."""
        return type(self)(**{**self.__dict__, **changes})

    @classmethod
    def decode(cls, value: object, *, where: str = "", strict: bool = True) -> Self:
        """Check parsed JSON or YAML against this class and build it.

        ``where`` is the path shown in errors (``spec.containers[0].image``). With ``strict`` an unknown field is an
        error; without it is ignored, which the OCI specifications demand of their readers.
        Raises :class:`InvalidInput` (reasons ``invalid``, ``unknown-field``, ``missing-field``).
        """
        return _decode_record(cls, value, where, strict)  # type: ignore[return-value]

    def encode(self) -> dict[str, Any]:
        """JSON-ready dictionaries with wire names; fields that hold their default are left out."""
        out: dict[str, Any] = {}
        cls = type(self)
        own = self.__dict__
        rows, wires = _encoding(cls)
        for name, default in rows:
            value = own[name]
            if value is None or value == default:
                continue
            wire = wires.get(name)
            if wire is None:
                wire = wires[name] = cls._wire.get(name) or camel(name)
            out[wire] = value if type(value) in _SCALARS else _encode(value)
        return out


_template_cache: dict[type, tuple[dict[str, object], tuple[str, ...], tuple[str, ...]]] = {}


def _template(cls: type[Record]) -> tuple[dict[str, object], tuple[str, ...], tuple[str, ...]]:
    """Every field with its default, in order; those whose default a record gets a copy of; those without a default."""
    found = _template_cache.get(cls)
    if found is None:
        fields = {name: getattr(cls, name, _ALWAYS) for name in cls._fields}
        copied = tuple(n for n, v in fields.items() if type(v) in _EMPTY or isinstance(v, Record))
        needed = tuple(n for n, v in fields.items() if v is _ALWAYS)
        found = _template_cache[cls] = fields, copied, needed
    return found


def _fresh(default: object) -> object:
    """A default of one's own, so that changing one record never changes another."""
    if type(default) in _EMPTY:
        return default.copy()  # type: ignore[attr-defined]
    if isinstance(default, Record):
        made = type(default).__new__(type(default))
        made.__dict__.update((name, _fresh(value)) for name, value in default.__dict__.items())
        return made
    return default


_SCALARS = (str, int, bool, float)
_ALWAYS = object()


def _encode(value: object) -> Any:
    kind = type(value)
    if kind in _SCALARS:
        return value
    if kind is list:
        # A field's list holds one kind of thing; a list of plain values (370 names of system calls) is only copied.
        if value and type(value[0]) in _SCALARS:  # type: ignore[index]
            return value.copy()  # type: ignore[attr-defined]
        return [_encode(v) for v in value]  # type: ignore[attr-defined]
    if kind is dict:
        return {k: v if type(v) in _SCALARS else _encode(v) for k, v in value.items()}  # type: ignore[attr-defined]
    return value.encode() if isinstance(value, Record) else value


_camels: dict[str, str] = {}


def camel(name: str) -> str:
    """``read_only_paths`` → ``readOnlyPaths``."""
    if "_" not in name:
        return name
    made = _camels.get(name)
    if made is None:
        head, *rest = name.rstrip("_").split("_")
        made = _camels[name] = head + "".join([w[:1].upper() + w[1:] for w in rest])
    return made


_wire_cache: dict[type, list[tuple[str, str]]] = {}


def _wire_names(cls: type[Record]) -> list[tuple[str, str]]:
    names = _wire_cache.get(cls)
    if names is None:
        names = _wire_cache[cls] = [(n, cls._wire.get(n) or camel(n)) for n in cls._fields]
    return names


_encoding_cache: dict[type, tuple[list[tuple[str, object]], dict[str, str]]] = {}


def _encoding(cls: type[Record]) -> tuple[list[tuple[str, object]], dict[str, str]]:
    """Attribute and the value that is left out; and the wire names that were needed so far: most fields are left out.

    ``_ALWAYS``, which no value equals, stands for a field that is never left out.
    """
    found = _encoding_cache.get(cls)
    if found is None:
        keep = cls._keep_empty
        rows = [(name, _ALWAYS if name in keep else default) for name, default in _template(cls)[0].items()]
        found = _encoding_cache[cls] = rows, {}
    return found


_PLAIN = {"str": str, "int": int, "bool": bool, "float": float, "object": object}
_plan_cache: dict[type, dict[str, tuple[str, object]]] = {}


def _plan(cls: type[Record]) -> dict[str, tuple[str, object]]:
    """Wire name → (attribute, annotation): a text until :func:`_resolve` is asked for that field."""
    plan = _plan_cache.get(cls)
    if plan is None:
        texts: dict[str, Any] = {}
        for klass in reversed(cls.__mro__):
            texts.update(klass.__dict__.get("__annotations__", ()))
        plan = {wire: (name, _PLAIN.get(texts[name], texts[name])) for name, wire in _wire_names(cls)}
        _plan_cache[cls] = plan
    return plan


def _resolve(cls: type[Record], wire: str) -> object:
    """What a field's annotation means, in the module that declares it. Only now are the records loaded that it names."""
    plan = _plan(cls)
    name, kind = plan[wire]
    if isinstance(kind, str):
        home = next(k for k in cls.__mro__ if name in k.__dict__.get("__annotations__", ()))
        kind = _meaning(kind, _Names(home.__module__))
        plan[wire] = (name, kind)
    return kind


def _meaning(text: str, names: Any) -> Any:
    # eval compiles, seven microseconds a field; nearly all annotations have one of these forms.
    if text in _PLAIN:
        return _PLAIN[text]
    if text.isidentifier():
        return names[text]
    if text.endswith(" | None"):
        return _meaning(text[:-7], names) | None
    if text.endswith("]") and "] | " not in text:
        if text.startswith("list["):
            return list[_meaning(text[5:-1], names)]  # type: ignore[misc]
        if text.startswith("dict[str, "):
            return dict[str, _meaning(text[10:-1], names)]  # type: ignore[misc]
    return eval(text, {}, names)


class _Names:
    """A module's names for ``eval``, those among them that :func:`elsewhere` loads."""

    def __init__(self, module: str) -> None:
        self.module = sys.modules[module]

    def __getitem__(self, name: str) -> object:
        try:
            return getattr(self.module, name)
        except AttributeError:
            raise KeyError(name) from None


def elsewhere(module: str, homes: dict[str, str]) -> Callable[[str], object]:
    """A module's ``__getattr__`` for records that few documents need: other modules declare them, loaded when first named.

    ``homes`` are those modules, and their records' names. Making a class takes some ten microseconds, and a process that
    lives thirty milliseconds uses a third of them.
    """
    where = {name: home for home, names in homes.items() for name in names.split()}

    def find(name: str) -> object:
        home = where.get(name)
        if home is None:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        __import__(home)
        return getattr(sys.modules[home], name)

    return find


def _decode_record(cls: type[Record], value: object, where: str, strict: bool) -> Record:
    if type(value) is not dict:
        raise InvalidInput(f"{where or 'document'}: expected an object, found {_kind(value)}")
    plan = _plan(cls)
    made = cls.__new__(cls)
    own = made.__dict__
    fields, copied, needed = _template(cls)
    own.update(fields)
    for key, item in value.items():
        entry = plan.get(key)
        if entry is None:
            if strict:
                raise InvalidInput(
                    f"{_join(where, key)}: unknown field", reason="unknown-field", hint=_suggest(key, plan)
                )
            continue
        name, kind = entry
        if item is None:
            continue  # an explicit null is an absent field, as in Go's decoders
        if type(kind) is str:
            kind = _resolve(cls, key)
        if (kind is str and type(item) is str and "\0" not in item) or (kind is bool and type(item) is bool):
            own[name] = item  # the usual case, without building the path for an error
            continue
        own[name] = _decode(kind, item, _join(where, key), strict)
    for name in needed:
        if own[name] is _ALWAYS:
            wire = cls._wire.get(name) or camel(name)
            raise InvalidInput(f"{_join(where, wire)}: required field is missing", reason="missing-field")
    for name in copied:
        if own[name] is fields[name]:
            own[name] = _fresh(fields[name])
    return made


def _decode(kind: Any, value: object, where: str, strict: bool) -> object:
    if type(kind) is _UNION:
        if value is None:
            return None
        arms = [k for k in kind.__args__ if k is not type(None)]
        if len(arms) == 1:
            return _decode(arms[0], value, where, strict)
        for arm in arms:
            if isinstance(arm, type) and not issubclass(arm, Record) and type(value) is arm:
                return _bounded(value, where)
        raise InvalidInput(f"{where}: expected {' or '.join(_name(a) for a in arms)}, found {_kind(value)}")
    if type(kind) is _ALIAS:
        if kind.__origin__ is list:
            if type(value) is not list:
                raise InvalidInput(f"{where}: expected a list, found {_kind(value)}")
            item = kind.__args__[0]
            if item is str and all(type(v) is str and "\0" not in v for v in value):
                return value.copy()
            return [_decode(item, v, f"{where}[{i}]", strict) for i, v in enumerate(value)]
        if type(value) is not dict:
            raise InvalidInput(f"{where}: expected an object, found {_kind(value)}")
        item = kind.__args__[1]
        for k in value:
            if type(k) is not str:
                raise InvalidInput(f"{where}: the key {_kind(k)} must be a string", hint="quote it")
            _bounded(k, where)
        return {k: _decode(item, v, _join(where, k), strict) for k, v in value.items()}
    if kind is object:
        return value
    if kind is float and type(value) is int:
        return float(_bounded(value, where))  # type: ignore[arg-type]
    if isinstance(kind, type):
        if issubclass(kind, Record):
            return _decode_record(kind, value, where, strict)
        if type(value) is kind:
            return _bounded(value, where)
    raise InvalidInput(f"{where}: expected {_name(kind)}, found {_kind(value)}")


def _bounded(value: object, where: str) -> object:
    """Refuse scalars that no system call or structure of C can carry, before one of them fails far from here."""
    if type(value) is str:
        if "\0" in value:
            raise InvalidInput(f"{where}: {_kind(value)} holds a NUL character")
    elif type(value) is int:
        if not -(1 << 63) <= value < 1 << 64:
            raise InvalidInput(f"{where}: {_kind(value)} does not fit into 64 bits")
    elif type(value) is float and value - value != 0.0:
        raise InvalidInput(f"{where}: {value} is not a finite number")
    return value


_NAMES = {str: "a string", int: "an integer", bool: "true or false", float: "a number"}


def _name(kind: object) -> str:
    return _NAMES.get(kind, getattr(kind, "__name__", str(kind)))  # type: ignore[call-overload,no-any-return]


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if type(value) is dict:
        return "an object"
    if type(value) is list:
        return "a list"
    text = repr(value[:40] if isinstance(value, str) else value)
    return text if len(text) <= 40 else text[:37] + "…"


def _join(where: str, key: object) -> str:
    """The path one level deeper. A key from outside must not break an error into lines or drown it."""
    if type(key) is not str or len(key) > 64 or not key.isprintable():
        key = _kind(key)
    return f"{where}.{key}" if where else str(key)


def _suggest(key: object, plan: dict[str, tuple[str, object]]) -> str:
    lowered = str(key).lower()
    for wire in plan:
        if wire.lower() == lowered:
            return f"did you mean {wire!r}?"
    return ""


def walk(record: Record) -> Iterator[tuple[str, object]]:
    """The wire names and values of the fields that are set (not at their default)."""
    cls = type(record)
    for name, wire in _wire_names(cls):
        value = record.__dict__[name]
        if value is not None and value != getattr(cls, name, None):
            yield wire, value
