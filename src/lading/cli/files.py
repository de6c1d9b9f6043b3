"""Files of containers: cp, diff, export, commit."""

from __future__ import annotations

import os
import stat
import sys

from lading.cli.output import listing, show
from lading.errors import InvalidInput, LadingError, NotFound, Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from tarfile import TarInfo
    from typing import BinaryIO

    from lading.cli.context import Context
    from lading.flags import Parsed


def cp(context: Context, parsed: Parsed) -> int:
    """Copy files between a container and this machine; one side may be a tar stream (-)."""
    source, target = (_side(text) for text in parsed.args)
    if (source[0] is None) == (target[0] is None):
        raise InvalidInput(
            "exactly one of the two is CONTAINER:PATH"
            if source[0] is None
            else "copying between containers is not supported",
            hint="for example lading cp web:/etc/hostname .",
        )
    if source[0] is not None:
        # As in a shell, a slash at its end asks for what a link leads to.
        follow = parsed["follow-link"] or source[1].endswith("/")
        if target[1] == "-":
            context.node.cp_out(source[0], source[1], sys.stdout.buffer, follow=follow)
            sys.stdout.buffer.flush()
        else:
            _out(context, source[0], source[1], target[1], archive=parsed["archive"], follow=follow)
    else:
        assert target[0] is not None
        if source[1] == "-":
            context.node.cp_in(target[0], target[1], sys.stdin.buffer, archive=parsed["archive"])
        else:
            _in(context, source[1], target[0], target[1], parsed)
    return 0


def _side(text: str) -> tuple[str | None, str]:
    """(container, path), or (None, path) for a path of this machine."""
    if text == "-" or text.startswith(("/", "./", "../")) or text in (".", ".."):
        return None, text
    name, colon, path = text.partition(":")
    if not colon:
        return None, text
    if not name or not path:
        raise InvalidInput(
            f"{text!r} is not CONTAINER:PATH", hint="a path of this machine that holds ':' begins with ./"
        )
    return name, path if path.startswith("/") else "/" + path


def _means_contents(path: str) -> bool:
    """Whether what a directory holds is meant, not the directory: as Docker has it, when the last part is a dot."""
    return os.path.basename(path.rstrip("/")) == "."


def _out(context: Context, name: str, path: str, target: str, *, archive: bool, follow: bool) -> None:
    """Container to machine, with Docker's rules of where the copy ends up."""
    info = context.node.path_stat(name, path, follow=follow)
    if info is None:
        raise NotFound(f"{name}:{path}: no such file or directory")
    directory = stat.S_ISDIR(int(str(info["mode"])))
    base = os.path.basename(path.rstrip("/")) or "/"
    contents = _means_contents(path)
    if os.path.isdir(target):
        parent, rename = target, (None if not contents else "")
    elif os.path.lexists(target):
        if directory:
            raise InvalidInput(f"{target} is a file, {name}:{path} a directory")
        parent, rename = os.path.dirname(target) or ".", os.path.basename(target)
    else:
        parent, rename = os.path.dirname(target.rstrip("/")) or ".", os.path.basename(target.rstrip("/"))
        if target.endswith("/") and not directory:
            raise NotFound(f"{target}: the directory does not exist")
        if not os.path.isdir(parent):
            raise NotFound(f"{parent}: the directory does not exist")

    def fetch(out: BinaryIO) -> None:
        context.node.cp_out(name, path, out, follow=follow)

    _unpack(fetch, f"{name}:{path}", parent, base, rename, archive=archive)


def _unpack(
    fetch: Callable[[BinaryIO], None], what: str, parent: str, base: str, rename: str | None, *, archive: bool
) -> None:
    """Unpack what the container sends below ``parent``; nothing it says leads outside."""
    import tarfile
    import threading

    read, write = os.pipe2(os.O_CLOEXEC)
    failure: list[BaseException] = []

    def send() -> None:
        try:
            with os.fdopen(write, "wb") as out:
                fetch(out)
        except BrokenPipeError:
            pass
        except BaseException as error:  # handed over to the thread that waits
            failure.append(error)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        with os.fdopen(read, "rb") as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
            for member in tar:
                _extract(tar, member, parent, base, rename, archive)
    except tarfile.TarError as error:
        if not failure:
            raise LadingError(f"{what}: {error}") from None
    finally:
        sender.join()
    if failure:
        raise failure[0]


def _extract(tar: object, member: object, parent: str, base: str, rename: str | None, archive: bool) -> None:
    import tarfile

    assert isinstance(tar, tarfile.TarFile)
    assert isinstance(member, tarfile.TarInfo)
    if rename is not None:
        head, slash, rest = member.name.lstrip("/").partition("/")
        if head in (base, ".", ""):
            member.name = f"{rename}{slash}{rest}" if rename else rest
        if member.islnk():
            head, slash, rest = member.linkname.lstrip("/").partition("/")
            if head == base:
                member.linkname = f"{rename}{slash}{rest}" if rename else rest
        if not member.name:
            return

    # Neither the filters of newer interpreters nor their new default: Debian 12's has none (PEP 706).
    tar.extraction_filter = lambda made, _where: made
    made = _safe(member, parent, archive)
    if made.islnk():
        _link(made, parent)
    else:
        tar.extract(made, parent, numeric_owner=True)


def _link(made: TarInfo, parent: str) -> None:
    """A hard link, by hand: where its target is a symbolic link, ``tarfile`` gives owner and mode to what that leads to."""
    name = os.path.join(parent, made.name)
    os.makedirs(os.path.dirname(name), exist_ok=True)
    target = os.path.join(parent, made.linkname)
    try:
        if os.path.lexists(name):
            if os.path.samestat(os.lstat(name), os.lstat(target)):
                return
            os.unlink(name)
        os.link(target, name, follow_symlinks=False)
    except OSError as error:
        raise LadingError(f"{made.name}: cannot link to {made.linkname}: {error.strerror}") from None


def _safe(member: TarInfo, where: str, archive: bool) -> TarInfo:
    """The member as it may be unpacked below ``where``: nothing outside, no device, no set-id bit, nobody else's to write."""
    import copy

    made = copy.copy(member)
    made.name = made.name.lstrip("/")
    ends = [made.name]
    if made.islnk():
        made.linkname = made.linkname.lstrip("/")
        ends.append(made.linkname)
    # A file is written through what has its name; a link takes its place, and the target of a hard link is not followed.
    through = not (made.issym() or made.islnk())
    places = [os.path.dirname(end) for end in ends]
    places += [end for end in ends if through or os.path.basename(end) in ("", ".", "..")]
    root = os.path.realpath(where).rstrip("/") + "/"
    for place in places:
        if not (os.path.realpath(os.path.join(where, place)) + "/").startswith(root):
            raise LadingError(f"{member.name}: leads outside of {where}")
    if made.isdev():
        raise Unsupported(f"{member.name}: devices are not copied")
    made.mode &= 0o755
    if not archive:
        made.uid, made.gid, made.uname, made.gname = os.getuid(), os.getgid(), "", ""
    return made


def _in(context: Context, source: str, name: str, path: str, parsed: Parsed) -> None:
    """Machine to container, with Docker's rules of where the copy ends up."""
    contents = _means_contents(source)
    if parsed["follow-link"]:
        source = os.path.realpath(source)
    try:
        info = os.lstat(source)
    except FileNotFoundError:
        raise NotFound(f"{source}: no such file or directory") from None
    if source.endswith("/") and not stat.S_ISDIR(os.stat(source).st_mode):
        raise InvalidInput(f"{source}: not a directory")
    directory = stat.S_ISDIR(info.st_mode)
    target = context.node.path_stat(name, path)
    trimmed = path.rstrip("/") or "/"
    base = os.path.basename(os.path.abspath(source))
    if target is not None and stat.S_ISDIR(int(str(target["mode"]))):
        where, called = trimmed, ("." if contents else base)
    else:
        if target is not None and directory:
            raise InvalidInput(f"{name}:{path} is a file, {source} a directory")
        if target is None and path.endswith("/") and not directory:
            raise NotFound(f"{name}:{path}: the directory does not exist")
        where, called = os.path.dirname(trimmed) or "/", os.path.basename(trimmed)
        if context.node.path_stat(name, where) is None:
            raise NotFound(f"{name}:{where}: the directory does not exist")
    _pack(context, source, called, name, where, archive=parsed["archive"])


def _pack(context: Context, source: str, called: str, name: str, where: str, *, archive: bool) -> None:
    import tarfile
    import threading

    read, write = os.pipe2(os.O_CLOEXEC)
    failure: list[BaseException] = []

    def owner(info: tarfile.TarInfo) -> tarfile.TarInfo:
        if not archive:
            info.uid = info.gid = 0
            info.uname = info.gname = ""
        return info

    def send() -> None:
        try:
            with (
                os.fdopen(write, "wb") as out,
                tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as tar,
            ):
                tar.add(source, arcname=called, filter=owner)
        except BrokenPipeError:
            pass
        except BaseException as error:  # handed over to the thread that waits
            failure.append(error)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        with os.fdopen(read, "rb") as stream:
            context.node.cp_in(name, where, stream, archive=archive)
            while stream.read(1 << 16):
                pass
    finally:
        sender.join()
    if failure:
        raise failure[0]


def diff(context: Context, parsed: Parsed) -> int:
    """Print what a container changed against its image: A added, C changed, D deleted."""
    rows = [{"kind": c.kind, "path": c.path} for c in context.node.changes(parsed.args[0])]  # type: ignore[attr-defined]
    if parsed["format"]:
        listing(rows, (("KIND", "kind"), ("PATH", "path")), template=parsed["format"])
        return 0
    show("".join(f"{row['kind']} {row['path']}\n" for row in rows))
    return 0


def export(context: Context, parsed: Parsed) -> int:
    """Write a container's file system as a tar archive."""
    from lading.cli.outfile import writing

    context.node.inspect(parsed.args[0])
    with writing(parsed["output"]) as stream:
        out: BinaryIO = stream
        context.node.export(parsed.args[0], out)
    return 0


def commit(context: Context, parsed: Parsed) -> int:
    """Make an image of a container's changes, and print its id."""
    image = context.node.commit(
        parsed.args[0],
        parsed.args[1] if len(parsed.args) > 1 else "",
        author=parsed["author"],
        message=parsed["message"],
        changes=parsed["change"],
        pause=parsed["pause"],
    )
    print(image.id)
    return 0
