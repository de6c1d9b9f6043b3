"""What is attested of an image: an SBOM and SLSA provenance, as in-toto statements.

They are attached as BuildKit does, in a manifest that stands beside the image in an index (``vnd.docker.reference.type``:
``attestation-manifest``), so that docker and its tools find them; and that manifest names the image as its ``subject``, so that
registries list it among the image's referrers.

Source: BuildKit, docs/attestations; in-toto attestation framework v1; slsa.dev/spec/v1.0/provenance; OCI image-spec 1.1.
"""

from __future__ import annotations

import base64
import time

from lading import __version__
from lading.build import packages, spdx
from lading.build.graph import FilesOp, ImageOp
from lading.build.secrecy import looks_secret
from lading.errors import InvalidInput, Unsupported
from lading.formats import digest as digests
from lading.formats import jsontext
from lading.formats import platform as platforms
from lading.formats.mountspec import csv
from lading.formats.oci_image import OCI_CONFIG, OCI_MANIFEST, Descriptor, Manifest, Platform
from lading.formats.reference import Reference
from lading.images import snapshots

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lading.build.image import Solved, Stored, Storer
    from lading.images import Images
    from lading.images.leases import Lease

ARTIFACT = "application/vnd.docker.attestation.manifest.v1+json"
IN_TOTO = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
SLSA = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:lading:build:dockerfile:v1"
BUILDER = "urn:lading:builder"


class Attest:
    """What was asked for. ``provenance``: empty, ``min`` or ``max``."""

    __slots__ = ("builder", "provenance", "sbom")

    def __init__(self) -> None:
        self.sbom = False
        self.provenance = ""
        self.builder = BUILDER

    def __bool__(self) -> bool:
        return self.sbom or bool(self.provenance)


def wanted(sbom: str, provenance: str, attests: Sequence[str]) -> Attest:
    """``--sbom``, ``--provenance`` and ``--attest``. Raises :class:`InvalidInput`, :class:`Unsupported`."""
    made = Attest()
    rows = [("sbom", sbom, "--sbom"), ("provenance", provenance, "--provenance")]
    for text in attests:
        kind, rest = "", []
        for field in csv(text):
            if field.startswith("type="):
                kind = field[5:]
            else:
                rest.append(field)
        if kind not in ("sbom", "provenance"):
            raise InvalidInput(f"--attest {text!r}: type={kind!r} is neither sbom nor provenance")
        rows.append((kind, ",".join(rest) or "true", f"--attest {text!r}"))
    for kind, text, flag in rows:
        if text:
            _one(made, kind, text, flag)
    return made


def _one(made: Attest, kind: str, text: str, flag: str) -> None:
    for field in csv(text):
        name, equals, value = field.partition("=")
        if field in ("false", "0") or (name == "disabled" and value in ("true", "1")):
            if kind == "sbom":
                made.sbom = False
            else:
                made.provenance = ""
        elif field in ("true", "1") or (name == "disabled" and value in ("false", "0")):
            if kind == "sbom":
                made.sbom = True
            else:
                made.provenance = made.provenance or "min"
        elif kind == "provenance" and name == "mode" and value in ("min", "max"):
            made.provenance = value
        elif kind == "provenance" and name == "version" and value == "v1":
            made.provenance = made.provenance or "min"
        elif kind == "provenance" and name == "builder-id" and value:
            made.builder = value
            made.provenance = made.provenance or "min"
        elif (kind, name) in (
            ("sbom", "generator"),
            ("provenance", "reproducible"),
            ("provenance", "version"),
        ):
            raise Unsupported(f"{flag}: {field} is not supported")
        else:
            known = "true, false" + (", mode=min, mode=max, builder-id=URI" if kind == "provenance" else "")
            raise InvalidInput(
                f"{flag}: {field!r} is unknown", hint=f"it takes {known}" if equals or field else ""
            )


class Evidence:
    """Makes and attaches what ``attest`` asks for. ``provenance``: the first platform's predicate, once it is attached."""

    def __init__(self, attest: Attest, images: Images, lease: Lease, names: Sequence[str]) -> None:
        self._attest = attest
        self._images = images
        self._lease = lease
        self._names = list(names)
        self._began = time.time()
        self._scanned: dict[tuple[str, ...], packages.Scanned] = {}
        self.provenance: dict[str, object] | None = None

    def attach(self, storer: Storer, image: Stored, solved: Solved) -> Descriptor:
        """Store the statements of one image, and return the entry of their manifest for the index."""
        layers: list[Descriptor] = []
        if self._attest.sbom:
            layers.append(self._statement(spdx.PREDICATE, self._bill(image, solved), image))
        if self._attest.provenance:
            predicate = self._provenance(solved)
            if self.provenance is None:
                self.provenance = predicate
            layers.append(self._statement(SLSA, predicate, image))
        config = {
            "architecture": "unknown",
            "os": "unknown",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in layers]},
        }
        data = jsontext.dumps(config, sort=True).encode()
        self._images.content.put(data, lease=self._lease)
        subject = image.manifest
        manifest = Manifest(
            media_type=OCI_MANIFEST,
            artifact_type=ARTIFACT,
            config=Descriptor(media_type=OCI_CONFIG, digest=digests.of(data), size=len(data)),
            layers=layers,
            subject=Descriptor(media_type=subject.media_type, digest=subject.digest, size=subject.size),
        )
        made = storer.put(manifest.encode(), OCI_MANIFEST)
        made.platform = Platform(os="unknown", architecture="unknown")
        made.annotations = {
            "vnd.docker.reference.digest": subject.digest,
            "vnd.docker.reference.type": "attestation-manifest",
        }
        return made

    def _statement(self, kind: str, predicate: dict[str, object], image: Stored) -> Descriptor:
        algorithm, _, text = image.manifest.digest.partition(":")
        names = [image_purl(name, image.platform) for name in self._names] or ["_"]
        statement = {
            "_type": STATEMENT,
            "subject": [{"name": name, "digest": {algorithm: text}} for name in names],
            "predicateType": kind,
            "predicate": predicate,
        }
        data = jsontext.dumps(statement, sort=True).encode()
        self._images.content.put(data, lease=self._lease)
        return Descriptor(
            media_type=IN_TOTO,
            digest=digests.of(data),
            size=len(data),
            annotations={"in-toto.io/predicate-type": kind},
        )

    def _bill(self, image: Stored, solved: Solved) -> dict[str, object]:
        layers = tuple(solved.result.diff_ids)
        scanned = self._scanned.get(layers)
        if scanned is None:
            # Outputs differ in how layers are written, not in what is in them: it is looked at once.
            snapshot = snapshots.of_layers(self._images, solved.result.diff_ids, lease=self._lease)
            scanned = self._scanned[layers] = packages.scan(snapshot.directories)
        name = self._names[0] if self._names else ""
        return spdx.document(
            scanned,
            name=name or "image",
            digest=image.manifest.digest,
            purl=image_purl(name or "image", image.platform),
            created=solved.moment,
        )

    # -- provenance ------------------------------------------------------------------------------------------------------

    def _provenance(self, solved: Solved) -> dict[str, object]:
        request = solved.request
        ended = time.time()
        began = self._began
        if solved.fixed is not None:
            began = ended = float(solved.fixed)
        whole = self._attest.provenance == "max"
        asked: dict[str, object] = {"frontend": "dockerfile.v0", "target": request.target}
        if whole:
            asked["args"] = {name: _shown(name, value) for name, value in sorted(request.args.items())}
            asked["labels"] = dict(sorted(request.labels.items()))
        asked["locals"] = sorted(name or "context" for name in request.contexts)
        asked["secrets"] = [{"id": name} for name in sorted(request.settings.secrets)]
        asked["ssh"] = [{"id": name} for name in sorted(request.settings.agents)]
        internal: dict[str, object] = {
            "builderPlatform": platforms.text(request.build_platform),
            "platform": platforms.text(solved.platform),
            "version": __version__,
        }
        if whole:
            internal["steps"] = _steps(solved)
            internal["source"] = {
                "filename": _base(request.dockerfile.name),
                "data": base64.b64encode(
                    "\n".join(request.dockerfile.source).encode("utf-8", "replace")
                ).decode(),
            }
        return {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "configSource": {"path": _base(request.dockerfile.name)},
                    "request": {key: value for key, value in asked.items() if value},
                },
                "internalParameters": internal,
                "resolvedDependencies": _materials(solved),
            },
            "runDetails": {
                "builder": {"id": self._attest.builder},
                "metadata": {
                    "invocationId": digests.of(f"{solved.graph[solved.built.vertex].key} {began}".encode())[
                        7:39
                    ],
                    "startedOn": _moment(began),
                    "finishedOn": _moment(ended),
                },
            },
        }


def _base(name: str) -> str:
    # Where the file lies on this machine is nobody's business.
    return name.rpartition("/")[2]


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _shown(name: str, value: str) -> str:
    return "(left out: it looks like a secret)" if looks_secret(name, value) else value


def _materials(solved: Solved) -> list[dict[str, object]]:
    """Base images by their package URLs, and files from outside by their digests."""
    found: list[dict[str, object]] = []
    for base in solved.built.materials:
        algorithm, _, text = base.digest.partition(":")
        found.append({"uri": image_purl(base.reference, solved.platform), "digest": {algorithm: text}})
    for number in sorted(solved.graph.needed([solved.built.vertex])):
        op = solved.graph[number].op
        if isinstance(op, FilesOp) and op.digest:
            found.append(
                {
                    "name": solved.graph[number].name,
                    "digest": {"ladingFiles": op.digest.partition(":")[2] or op.digest},
                }
            )
    return found


def _steps(solved: Solved) -> list[dict[str, object]]:
    made = []
    for number in sorted(solved.graph.needed([solved.built.vertex])):
        vertex = solved.graph[number]
        row: dict[str, object] = {
            "id": f"step{number}",
            "name": vertex.name,
            "digest": f"sha256:{vertex.key}",
        }
        if vertex.inputs:
            row["inputs"] = [f"step{given}" for given in vertex.inputs]
        if isinstance(vertex.op, ImageOp):
            row["layers"] = vertex.op.diff_ids
        elif number in solved.results and solved.results[number].layers:
            row["layer"] = solved.results[number].layers[-1].diff_id
        made.append(row)
    return made


def image_purl(name: str, platform: Platform) -> str:
    """The package URL of an image: ``pkg:docker/NAME@TAG?platform=linux%2Famd64``."""
    try:
        reference = Reference.parse(name)
    except InvalidInput:
        return f"pkg:docker/{packages.quoted(name)}"
    if reference.digest:
        path, tag = (
            reference.name.removeprefix("docker.io/library/").removeprefix("docker.io/"),
            reference.digest,
        )
    else:
        path, _, tag = reference.familiar.rpartition(":")
    parts = "/".join(packages.quoted(part) for part in path.split("/"))
    return (
        f"pkg:docker/{parts}@{packages.quoted(tag)}?platform={platforms.text(platform).replace('/', '%2F')}"
    )
