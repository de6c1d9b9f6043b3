"""Reading manifests: YAML or JSON, a file or standard input; Pods, and the ConfigMaps, Secrets and claims they name."""

from __future__ import annotations

import sys

from lading.errors import InvalidInput, LadingError, Unsupported
from lading.formats.config import ConfigMap, PersistentVolumeClaim, Secret, config_source
from lading.formats.pod import ConfigSource, Pod
from lading.formats.yamltext import LARGEST, documents

_KINDS = ("Pod", "ConfigMap", "Secret", "PersistentVolumeClaim")
#: Fields of a claim that choose among kinds of storage, of which there is one here.
_CLAIM_NO_EFFECT = ("access_modes", "resources", "storage_class_name")
_CLAIM_REFUSED = ("volume_name", "selector", "data_source", "data_source_ref", "volume_attributes_class_name")


class Manifest:
    """What a file holds: Pods, each with notes for its user, and the claims to make volumes of."""

    def __init__(self) -> None:
        self.pods: list[tuple[Pod, list[str]]] = []
        self.claims: list[PersistentVolumeClaim] = []
        self.notes: list[str] = []
        self.sources: list[ConfigSource] = []


def read(path: str) -> Manifest:
    """The Pods in a file (``-``: standard input), defaulted and admitted, with what they take along.

    A ConfigMap or Secret may stand before or after the Pod that names it. Raises :class:`InvalidInput` with the field's
    path; nothing has been made by then.
    """
    from lading.node.admission import admit, default

    what = "standard input" if path == "-" else path
    found = Manifest()
    several = [item for document in _documents(_read(path), what) for item in _flat(document)]
    pods: list[tuple[str, Pod]] = []
    for number, document in enumerate(several, 1):
        where = what if len(several) == 1 else f"{what}, document {number}"
        try:
            pod = _take(document, found)
        except LadingError as error:
            error.message = f"{where}: {error.message}"
            raise
        if pod is not None:
            pods.append((where, pod))
    if not pods:
        raise InvalidInput(f"{what}: no Pod in it")
    for where, pod in pods:
        pod.spec.extras.sources = [s for s in found.sources if _names(pod, s)]
        try:
            found.pods.append((pod, admit(default(pod))))
        except LadingError as error:
            error.message = f"{where}: {error.message}"
            raise
    _distinct([pod.metadata.name for _, pod in pods if pod.metadata.name], what, "pods")
    _distinct([f"{s.kind}/{s.name}" for s in found.sources], what, "documents")
    _distinct([claim.metadata.name for claim in found.claims], what, "claims")
    return found


def _distinct(names: list[str], what: str, kind: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InvalidInput(f"{what}: two {kind} are called {name!r}")
        seen.add(name)


def _flat(document: object) -> list[object]:
    """The items of a ``v1 List``; anything else is itself."""
    if (
        isinstance(document, dict)
        and document.get("kind") == "List"
        and isinstance(document.get("items"), list)
    ):
        return list(document["items"])
    return [document]


def _take(document: object, found: Manifest) -> Pod | None:
    """Put a document into ``found``; a Pod is handed back, as it is admitted when all have been read."""
    kind = _kind_of(document)
    assert isinstance(document, dict)
    if kind == "Pod":
        _no_extras(document)
        return Pod.decode(document)
    if kind == "PersistentVolumeClaim":
        found.claims.append(_claim(document, found.notes))
        return None
    made = ConfigMap.decode(document) if kind == "ConfigMap" else Secret.decode(document)
    _named(made.metadata.name)
    found.sources.append(config_source(made))
    return None


def _named(name: str) -> None:
    from lading.node.admission_report import is_subdomain

    if not is_subdomain(name):
        raise InvalidInput(f"metadata.name: {name[:80]!r} is not lower-case letters, digits, '-' and '.'")


def _claim(document: dict[object, object], notes: list[str]) -> PersistentVolumeClaim:
    from lading.formats.schema import camel

    claim = PersistentVolumeClaim.decode(document)
    _named(claim.metadata.name)
    for field in _CLAIM_REFUSED:
        if getattr(claim.spec, field):
            raise Unsupported(f"spec.{camel(field)} is not supported: a claim is a volume of this disk")
    if claim.spec.volume_mode not in ("", "Filesystem"):
        raise Unsupported(
            f"spec.volumeMode {claim.spec.volume_mode} is not supported: volumes are directories"
        )
    for field in _CLAIM_NO_EFFECT:
        if getattr(claim.spec, field):
            notes.append(
                f"PersistentVolumeClaim {claim.metadata.name}: spec.{camel(field)} has no effect: "
                "a claim is a volume of this disk"
            )
    return claim


def _names(pod: Pod, source: ConfigSource) -> bool:
    """Whether anything of the pod may name the ConfigMap or Secret."""
    from lading.formats import jsontext

    return f'"{source.name}"' in jsontext.dumps(pod.spec.encode())


def _kind_of(document: object) -> str:
    if not isinstance(document, dict):
        raise InvalidInput("expected a Pod, found something that is not an object")
    kind, version = document.get("kind"), document.get("apiVersion")
    if kind is None:
        raise InvalidInput(
            "kind: required field is missing", hint="a Pod begins with apiVersion: v1 and kind: Pod"
        )
    if kind not in _KINDS:
        raise Unsupported(
            f"kind: {str(kind)[:60]!r} is not supported: Pods run here, and ConfigMaps, Secrets and "
            "PersistentVolumeClaims beside them"
        )
    if version != "v1":
        raise InvalidInput(f"apiVersion: {str(version)[:60]!r} is not v1")
    return str(kind)


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
