"""AC Names and AC Identifiers, the two kinds of keys.

Source: spec/types.md, "AC Identifier Type" and "AC Name Type". The grammars are the text's regular expressions, which are
narrower than what the reference implementation lets through: two separators side by side are refused. One pair the text has
in an example of its own, against its expression, and so it is accepted: ``/~`` as in ``example.com/~user/app``.
"""

from __future__ import annotations

from lading.formats.appc.errors import bad, shown

_ALPHANUMERIC = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
_SEPARATORS = "-._~/"


def is_name(text: str) -> bool:
    """Whether ``text`` is an AC Name: words of lower-case letters and digits with single hyphens between them."""
    return all(part and _ALPHANUMERIC.issuperset(part) for part in text.split("-"))


def is_identifier(text: str) -> bool:
    """Whether ``text`` is an AC Identifier: as an AC Name, but the separators are ``-._~/``, and ``/~``."""
    text = text.replace("/~", "/")
    for separator in _SEPARATORS[1:]:
        text = text.replace(separator, "-")
    return is_name(text)


def check_name(text: str, where: str) -> str:
    """``text`` when it is an AC Name. ``where`` names the field. Raises :class:`InvalidInput`."""
    return _checked(text, where, is_name(text), "AC Name", "single hyphens")


def check_identifier(text: str, where: str) -> str:
    """``text`` when it is an AC Identifier. ``where`` names the field. Raises :class:`InvalidInput`."""
    return _checked(text, where, is_identifier(text), "AC Identifier", f"single separators {_SEPARATORS}")


def _checked(text: str, where: str, good: bool, kind: str, between: str) -> str:
    if not good:
        why = (
            f"{shown(text)} is not an {kind}"
            if text
            else f"an {kind} is required, and this is an empty string"
        )
        raise bad(where, why, hint=f"lower-case letters and digits, with {between} between them")
    return text


def suggest_name(text: str) -> str:
    """An AC Name that resembles ``text``, for a default or a hint; empty when nothing of it is left."""
    kept = "".join(c if c in _ALPHANUMERIC else "-" for c in text.lower())
    return "-".join(part for part in kept.split("-") if part)


def suggest_identifier(text: str) -> str:
    """An AC Identifier that resembles ``text``; empty when nothing of it is left. Of separators in a row the first stays."""
    if is_identifier(text):
        return text
    made: list[str] = []
    for character in text.lower():
        character = character if character in _ALPHANUMERIC or character in _SEPARATORS else "-"
        if character in _ALPHANUMERIC or (made and made[-1] in _ALPHANUMERIC):
            made.append(character)
    return "".join(made).rstrip(_SEPARATORS)


def parents(name: str) -> list[str]:
    """``a.example/b/c`` → itself, ``a.example/b``, ``a.example``: where discovery asks, one after the other."""
    parts = name.split("/")
    return ["/".join(parts[:end]) for end in range(len(parts), 0, -1)]


def below(name: str, prefix: str) -> bool:
    """Whether ``prefix`` is ``name`` or one of its parents. ``example.com/app`` is not below ``example.com/ap``."""
    prefix = prefix.rstrip("/")
    return bool(prefix) and (name == prefix or name.startswith(prefix + "/"))
