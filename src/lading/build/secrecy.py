"""What looks like a secret, so that it is not written where everybody reads."""

from __future__ import annotations

import re

_NAMES = re.compile(
    r"(pass(word|wd|phrase)?|secret|token|credential|api_?key|private_?key|access_?key|auth|cookie|session)",
    re.IGNORECASE,
)
_VALUES = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY|^gh[pousr]_\w{20}|^glpat-|^xox[abprs]-|^AKIA[0-9A-Z]{16}|^eyJ[\w-]+\.[\w-]+\."
    r"|^sk-\w{16}|^npm_\w{20}|^pypi-\w{20}|://[^/\s:@]+:[^/\s@]+@"
)


def looks_secret(name: str, value: str) -> bool:
    """Whether a variable's name or its value looks like a secret's. It errs to the safe side."""
    return bool(_NAMES.search(name) or _VALUES.search(value))
