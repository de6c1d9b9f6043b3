"""Reading Pod manifests: YAML or JSON, a file or standard input, one Pod or several."""

from __future__ import annotations

import sys

from lading.errors import InvalidInput, LadingError, Unsupported
from lading.formats.pod import Pod
from lading.formats.yamltext import LARGEST, documents

_REASON = "only Pods run here"


def read_pods(path: str) -> list[tuple[Pod, list[str]]]:
    """The Pods in a file (``-``: standard input), defaulted and admitted, each with notes for its user.

    Raises :class:`InvalidInput` with the field's path; nothing has been made by then.
    """
    from lading.node.admission import admit, default

    what = "standard input" if path == "-" else path
    found: list[tuple[Pod, list[str]]] = []
    raw = _read(path)
    several = _documents(raw, what)
    if not several:
        raise InvalidInput(f"{what}: no Pod in it")
    for number, document in enumerate(several, 1):
        where = what if len(several) == 1 else f"{what}, document {number}"
        try:
            pod = _pod(document)
            notes = admit(pod)
            default(pod)
        except LadingError as error:
            error.message = f"{where}: {error.message}"
            raise
        found.append((pod, notes))
    names: set[str] = set()
    for pod, _ in found:
        if pod.metadata.name and pod.metadata.name in names:
            raise InvalidInput(f"{what}: two pods are called {pod.metadata.name!r}")
        names.add(pod.metadata.name)
    return found


def _read(path: str) -> bytes:
    if path == "-":
        return sys.stdin.buffer.read(LARGEST + 1)
    with open(path, "rb") as stream:
        return stream.read(LARGEST + 1)


def _documents(raw: bytes, what: str) -> list[object]:
    if raw.lstrip()[:1] == b"{":
        from lading.formats import jsontext

        try:
            return [jsontext.loads(raw, what=what)]
        except LadingError:
            if b"\n" not in raw.strip() or b'"' in raw[:200]:
                raise
    return documents(raw, what=what)


def _pod(document: object) -> Pod:
    if not isinstance(document, dict):
        raise InvalidInput("expected a Pod, found something that is not an object")
    kind, version = document.get("kind"), document.get("apiVersion")
    if kind is None:
        raise InvalidInput(
            "kind: required field is missing", hint="a Pod begins with apiVersion: v1 and kind: Pod"
        )
    if kind != "Pod":
        raise Unsupported(f"kind: {str(kind)[:60]!r} is not supported: {_REASON}")
    if version != "v1":
        raise InvalidInput(f"apiVersion: {str(version)[:60]!r} is not v1")
    _no_extras(document)
    return Pod.decode(document)


def _no_extras(document: dict[object, object]) -> None:
    spec = document.get("spec")
    if not isinstance(spec, dict):
        return
    places = [("spec", spec)]
    for field in ("containers", "initContainers"):
        listed = spec.get(field)
        if isinstance(listed, list):
            places += [(f"spec.{field}[{i}]", c) for i, c in enumerate(listed) if isinstance(c, dict)]
    for path, place in places:
        if "x-lading" in place:
            raise Unsupported(
                f"{path}.x-lading is not supported in a manifest: it carries what lading run was asked"
            )
