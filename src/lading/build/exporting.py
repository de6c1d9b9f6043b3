"""Carrying out what ``--output`` asks for: images in the store, at a registry or in archives, or plain files."""

from __future__ import annotations

from lading.build.image import Storer
from lading.build.outputs import DOCKER, LOCAL, NOTHING, OCI, TAR
from lading.formats import platform as platforms
from lading.formats.oci_image import Descriptor
from lading.formats.reference import Reference
from lading.images import archive_save
from lading.images.oci import format_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from typing import BinaryIO

    from lading.build.evidence import Evidence
    from lading.build.image import Solved, Stored
    from lading.build.outputs import Form, Output
    from lading.build.progress import Progress
    from lading.images import Images
    from lading.images.image import Image
    from lading.images.leases import Lease

    Open = Callable[[str], AbstractContextManager[BinaryIO]]


class Exported:
    """What became of a build. ``image`` is this machine's in the store, None where none was asked for.

    ``id``: of the first platform's configuration, empty where no image was made; ``target``: manifest or index; ``names``: all.
    ``provenance``: what was attached as such for the first platform, or None.
    """

    __slots__ = ("created", "id", "image", "names", "provenance", "target")

    def __init__(self) -> None:
        self.image: Image | None = None
        self.id = ""
        self.target: Descriptor | None = None
        self.created = ""
        self.names: list[str] = []
        self.provenance: dict[str, object] | None = None


class Exporter:
    """Does what outputs want with what was ``solved``, a platform each. ``open_`` gives the stream for a ``dest``."""

    def __init__(
        self,
        images: Images,
        solved: Sequence[Solved],
        *,
        lease: Lease,
        progress: Progress,
        open_: Open,
        config: str = "",
        rewrite: bool = False,
        evidence: Evidence | None = None,
        extend: Callable[[Solved], dict[str, str]] | None = None,
    ) -> None:
        self._images = images
        self._solved = solved
        self._lease = lease
        self._progress = progress
        self._open = open_
        self._config = config
        self._rewrite = rewrite
        self._evidence = evidence
        self._extend = extend
        self.storer = Storer(images, lease, progress)

    def run(self, outputs: Sequence[Output]) -> Exported:
        """Every output, in their order. Raises what storing, writing and pushing raise."""
        made = Exported()
        for output in outputs:
            if output.is_image:
                self._image(output, made)
            elif output.kind == LOCAL:
                self._local(output)
            elif output.kind == TAR:
                self._tar(output)
            else:
                assert output.kind == NOTHING
        return made

    # -- images ----------------------------------------------------------------------------------------------------------

    def _image(self, output: Output, made: Exported) -> None:
        rewrite = self._rewrite if output.rewrite is None else output.rewrite
        images = []
        for solved in self._solved:
            more = self._extend(solved) if self._extend is not None else None
            images.append(self.storer.store(solved, output.form, rewrite=rewrite, annotations=more))
        target = self._target(images, output.form, made)
        if not made.id:
            made.id, made.target, made.created = images[0].id, target, images[0].config.created
        made.names += [name for name in output.names if name not in made.names]
        if output.stored:
            platform = images[_ours([image.platform for image in images])].platform
            made.image = self._images.register(
                target, output.names, lease=self._lease, platform=platforms.text(platform)
            )
        if output.push:
            for name in output.names:
                self._push(name)
        if output.kind in (DOCKER, OCI) and output.dest:
            self._archive(output, target, images)

    def _target(self, images: Sequence[Stored], form: Form, made: Exported) -> Descriptor:
        """The manifest alone, or an index of several and of what is attested of them."""
        attested: list[Descriptor] = []
        if self._evidence is not None:
            for image, solved in zip(images, self._solved, strict=True):
                attested.append(self._evidence.attach(self.storer, image, solved))
            made.provenance = self._evidence.provenance
        wanted_index = any(a.place.startswith("index") for a in form.annotations)
        if len(images) == 1 and not attested and not wanted_index:
            return images[0].manifest
        return self.storer.index([*(image.manifest for image in images), *attested], form)

    def _push(self, name: str) -> None:
        from lading.build.bases import transferring
        from lading.images.pull import PullOptions

        phase = f"push {name}"
        self._progress.phase(phase, "started")
        self._images.push(
            name, options=PullOptions(config=self._config), progress=transferring(self._progress, phase)
        )
        self._progress.phase(phase, "done")

    def _archive(self, output: Output, target: Descriptor, images: Sequence[Stored]) -> None:
        references: list[Reference] = [Reference.parse(name) for name in output.names]
        labels = [archive_save.named(reference) for reference in references] or [{}]
        entries = []
        for label in labels:
            entry = Descriptor(media_type=target.media_type, digest=target.digest, size=target.size)
            entry.platform = target.platform
            entry.annotations = {**target.annotations, **label}
            entries.append(entry)
        docker = []
        for image in images:
            resolved = format_of(image.manifest.media_type).resolve(self._images.content, image.manifest)
            item = archive_save.docker_item(resolved)
            item["RepoTags"] = [r.with_tag(r.tag).familiar for r in references] if len(images) == 1 else []
            docker.append(item)
        kind = "docker-archive" if output.kind == DOCKER else "oci-archive"
        if not output.archive:
            archive_save.write(
                self._images, entries, docker, output.dest, format="oci-dir", lease=self._lease
            )
            return
        with self._open(output.dest) as out:
            archive_save.write(self._images, entries, docker, out, format=kind, lease=self._lease)

    # -- files -----------------------------------------------------------------------------------------------------------

    def _trees(self, output: Output) -> list[tuple[str, list[str], int | None]]:
        """For each platform the directory that its files go to, its layers (top-most first), and the latest time, or None."""
        from lading.images import snapshots

        split = len(self._solved) > 1 if output.split is None else output.split
        made = []
        for solved in self._solved:
            name = platforms.text(solved.platform).replace("/", "_") if split else ""
            snapshot = snapshots.of_layers(self._images, solved.result.diff_ids, lease=self._lease)
            made.append((name, snapshot.directories, solved.fixed))
        return made

    def _local(self, output: Output) -> None:
        from lading.build.localfiles import write_files

        phase = f"write files to {output.dest}"
        self._progress.phase(phase, "started")
        count = 0
        for name, directories, latest in self._trees(output):
            place = f"{output.dest}/{name}" if name else output.dest
            written, lost = write_files(directories, place, latest=latest)
            count += written
            if lost:
                self._progress.warn(f"{place}: {lost} extended attributes cannot be kept there")
        self._progress.phase(phase, "done")

    def _tar(self, output: Output) -> None:
        from lading.images.pack import Packer, Times
        from lading.images.tarwrite import TarWriter
        from lading.images.union import walk

        with self._open(output.dest) as out:
            tar = TarWriter(out.write)
            for name, directories, latest in self._trees(output):
                times = None if latest is None else Times(latest * 1_000_000_000)
                packer = Packer(tar, times=times)
                prefix = name.encode() + b"/" if name else b""
                if name:
                    from lading.images.tarentry import DIRECTORY, Entry

                    tar.add(Entry(name.encode(), DIRECTORY, mode=0o755, mtime=(latest or 0) * 1_000_000_000))
                for node in walk(directories):
                    packer.add(prefix + node.name, node.path, node.there)
                if packer.skipped:
                    self._progress.warn(f"sockets stay out of archives: {', '.join(packer.skipped[:5])}")
            tar.close()


def _ours(offered: Sequence[object]) -> int:
    """Which of several platforms is this machine's; the first where none is."""
    found = platforms.select(list(offered), platforms.host())  # type: ignore[arg-type]
    return 0 if found is None else found
