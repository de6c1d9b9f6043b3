"""The ``meta`` tags of a discovery page, read out of whatever HTML a stranger's server sends.

Source: spec/discovery.md, "Discovery URL"; the HTML standard, "Tokenization", as far as it decides what is a tag: comments,
raw text (``script``, ``style`` …) and quoted attribute values hold none. The scanner goes forward only, so its time is linear
in the page; older ``html.parser`` is quadratic on broken input (CVE-2025-6069), and would be a way to keep us busy.
"""

from __future__ import annotations

from lading.errors import InvalidInput

LARGEST = 1 << 20
"""Characters of a page; the rest of the web is not for us."""
MOST = 256
"""Tags of one page that are read."""

_SPACE = " \t\n\r\f"
_RAW = ("script", "style", "textarea", "title", "iframe", "noembed", "noframes", "noscript", "xmp")
_ENTITIES = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'", "nbsp": "\u00a0"}
_LONGEST_ENTITY = 10


class Tag:
    """One ``meta`` tag: ``kind`` is what follows ``ac-`` (``discovery``), ``prefix`` and ``value`` its content's two halves."""

    __slots__ = ("kind", "prefix", "value")

    def __init__(self, kind: str, prefix: str, value: str) -> None:
        self.kind = kind
        self.prefix = prefix
        self.value = value

    def __repr__(self) -> str:
        return f"Tag({self.kind!r}, {self.prefix!r}, {self.value!r})"


def read(html: str) -> list[Tag]:
    """The ``ac-`` tags in document order; those without a prefix and a value are none.

    Raises :class:`InvalidInput` (reason ``discovery-page``) for a page beyond the limits.
    """
    if len(html) > LARGEST:
        raise InvalidInput(
            f"the discovery page has {len(html)} characters, more than {LARGEST}", reason="discovery-page"
        )
    found: list[Tag] = []
    for attributes in _meta_tags(html):
        name, content = attributes.get("name", ""), attributes.get("content", "").strip(_SPACE)
        prefix, value = _halves(content)
        if name.startswith("ac-") and prefix and value:
            found.append(Tag(name[3:], prefix, value))
            if len(found) > MOST:
                raise InvalidInput(f"the discovery page has more than {MOST} tags", reason="discovery-page")
    return found


def _halves(content: str) -> tuple[str, str]:
    for index, character in enumerate(content):
        if character in _SPACE:
            return content[:index], content[index:].strip(_SPACE)
    return content, ""


def _meta_tags(html: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    position = 0
    while (position := html.find("<", position)) >= 0:
        position += 1
        if html.startswith("!--", position):
            # "<!-->" and "<!--->" are whole comments.
            position = _after(html, "-->", position + 1)
        elif html[position : position + 1] in ("!", "?"):
            position = _after(html, ">", position)
        else:
            name, position = _tag_name(html, position)
            if not name:
                continue
            attributes, position = _attributes(html, position)
            if attributes is None:
                break  # the page ends inside a tag, which is then none
            if name == "meta":
                found.append(attributes)
            elif name == "plaintext":
                break
            elif name in _RAW:
                position = _after_raw(html, name, position)
    return found


def _after(html: str, end: str, position: int) -> int:
    found = html.find(end, position)
    return len(html) if found < 0 else found + len(end)


def _tag_name(html: str, position: int) -> tuple[str, int]:
    start = position + 1 if html[position : position + 1] == "/" else position
    if not (html[start : start + 1].isascii() and html[start : start + 1].isalpha()):
        return "", position
    end = start
    while end < len(html) and html[end] not in _SPACE and html[end] not in "/>":
        end += 1
    name = html[start:end].lower()
    # An end tag is passed over like any other; its slash keeps it from being what it ends.
    return ("/" + name if start != position else name), end


def _attributes(html: str, position: int) -> tuple[dict[str, str] | None, int]:
    """The attributes up to ``>`` and the place after it. Of an attribute given twice the first counts."""
    found: dict[str, str] = {}
    size = len(html)
    while position < size:
        if html[position] == ">":
            return found, position + 1
        if html[position] in _SPACE or html[position] == "/":
            position += 1
            continue
        start = position
        position += 1  # a "=" here is part of the name
        while position < size and html[position] not in _SPACE and html[position] not in "/>=":
            position += 1
        name = html[start:position].lower()
        position = _skip_space(html, position)
        value = ""
        if html[position : position + 1] == "=":
            position = _skip_space(html, position + 1)
            quote = html[position : position + 1]
            if quote in ('"', "'") and quote:
                end = html.find(quote, position + 1)
                if end < 0:
                    return None, size
                value, position = html[position + 1 : end], end + 1
            else:
                start = position
                while position < size and html[position] not in _SPACE and html[position] != ">":
                    position += 1
                value = html[start:position]
        found.setdefault(name, _unescape(value))
    return None, size


def _skip_space(html: str, position: int) -> int:
    while position < len(html) and html[position] in _SPACE:
        position += 1
    return position


def _after_raw(html: str, name: str, position: int) -> int:
    """The place of the end tag of raw text; without one, the page's end."""
    while (position := html.find("</", position)) >= 0:
        end = position + 2 + len(name)
        following = html[end : end + 1]
        if html[position + 2 : end].lower() == name and (not following or following in _SPACE + "/>"):
            return position
        position += 2
    return len(html)


def _unescape(text: str) -> str:
    """Character references: the numeric ones and the few names that a URL can need."""
    if "&" not in text:
        return text
    first, *rest = text.split("&")
    made = [first]
    for part in rest:
        end = part.find(";", 0, _LONGEST_ENTITY + 1)
        character = _character(part[:end]) if end > 0 else None
        made.append("&" + part if character is None else character + part[end + 1 :])
    return "".join(made)


def _character(name: str) -> str | None:
    if not name.startswith("#"):
        return _ENTITIES.get(name)
    digits, base = (name[2:], 16) if name[1:2] in ("x", "X") else (name[1:], 10)
    if not digits.isascii() or not digits.isalnum():
        return None
    try:
        number = int(digits, base)
    except ValueError:
        return None
    return chr(number) if 0 < number <= 0x10FFFF and not 0xD800 <= number <= 0xDFFF else "\ufffd"
