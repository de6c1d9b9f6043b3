"""What the start files of ``lading.start`` hold, and how they are written: ``python -m lading.startlist``.

A group lists what its commands import on their usual way, and only that: all of it is read at once. What stands in no
list is imported the ordinary way. ``tests/integration/test_start_files.py`` compares the lists with commands that run.
"""

from __future__ import annotations

import ast
import marshal
import os
from _frozen_importlib_external import SourceFileLoader, cache_from_source

from lading import start

_KERNEL = """
    lading: errors formats kernel
    lading.formats: jsontext schema
    lading.kernel: capabilities ffi files libc mounts namespaces process userns
"""
_RUNTIME = """
    lading: runtime
    lading.formats: oci_runtime
    lading.kernel: cgroups devicerules overlay paths seccomp_flags
    lading.kernel.cgroups: base files layout v1
    lading.runtime: birth cgroupfs channel command container create deviceaccess devices filters gate init job join
    lading.runtime: config masks mounts options procmounts request resources rootfs security store sysctls
"""
_COMMAND = """
    lading: cli flags node roots
    lading.cli: commands context main
    lading.formats: pod
    lading.node: database engine model node records shop
"""
_NODE = """
    lading.node: environment sockets spec spec_mounts spec_resources users
"""

_GROUPS = {
    # lading run, create, start
    "run": f"""
        {_KERNEL} {_RUNTIME} {_COMMAND} {_NODE}
        lading: images
        lading.cli: deferred run runflags translate translate_limits translate_network translate_rights
        lading.formats: capnames digest oci_image reference resolvconf rootfs
        lading.images: files image names storage
        lading.kernel: tree
        lading.node: births deaths etcfiles layered ledger lifecycle logwriter loop mountpoints memory names
        lading.node: podnetwork prepare refused remove restart runner running sandbox seccomp_profile
        lading.node: outlet sequence streams
    """,
    # whatever needs the network: it is served from when lading.network is imported
    "network": """
        lading: network
        lading.kernel: netlink netlink_netns netlink_route nftables nftelements
        lading.network: addresses attaching bridge firewall ipam model networks resolv routing store
    """,
    # what only some ask for: limits, published ports
    "limits": """
        lading.formats: oci_limits
        lading.runtime: limiting limits
    """,
    "ports": """
        lading.network: flows ports publishing
    """,
    # what depends on the machine and on what is asked for: cgroup v2, volumes
    "more": """
        lading.kernel: bpf
        lading.kernel.cgroups: v2
        lading.node: podvolumes
    """,
    "exec": f"""
        {_KERNEL} {_RUNTIME} {_COMMAND} {_NODE}
        lading.cli: exec tables terminal
        lading.node: executing lookup managing session
        lading.runtime: console execute helper
    """,
    # lading ps, logs
    "look": f"""
        {_COMMAND}
        lading: errors formats
        lading.cli: inspect listing logs output tables translate translate_limits translate_network translate_rights
        lading.formats: duration jsontext schema sizes
        lading.node: logfile looking lookup managing
    """,
    # what lading inspect and images take besides
    "inspect": """
        lading: images kernel
        lading.cli: images inspect_container networks outfile volumes
        lading.formats: digest jsonwriter oci_image platform quantity reference rootfs
        lading.images: aliases files image names
        lading.kernel: capabilities ffi files libc mounts namespaces process userns
    """,
    # a build with nothing to do
    "build": """
        lading: build cli errors flags formats images kernel roots
        lading.build: agents arrivals bases builder cache contexts executor exporting fetching frontend graph
        lading.build: housekeeping image instructions matching origins outputs progress recorder records
        lading.build: remembered request sharing solver taking trees worker workshop
        lading.cli: build buildcheck buildflags buildinput buildlines buildoutflags buildoutput buildprogress
        lading.cli: buildsecrets commands context main outfile progress
        lading.formats: digest dockerfile jsontext mountspec oci_image platform pod reference rootfs schema
        lading.formats: sizes
        lading.formats.dockerfile: expansion globs ignore instructions lines linter mistakes model mounts
        lading.formats.dockerfile: options parser ports remote rules scope stagelint stages transfers words
        lading.images: archive_save changes collect compression content differences files image instructions
        lading.images: layers leases limits make names newlayer oci others pack pins register remove rooted
        lading.images: snapshots source stacking stages tarentry tarread tarwrite union unpack
        lading.images: unpack_attributes unpacked
        lading.kernel: capabilities ffi files libc mounts namespaces overlay paths process userns
    """,
    # what lading rkt is found by
    "rkt": """
        lading: rocket
        lading.rocket: rkt table
        lading.rocket.rkt: table table_images table_pods
    """,
    # what lading rkt run takes besides the group "run"
    "pods": """
        lading.formats: appc platform podextras podsecurity podvolumes quantity
        lading.formats.appc: app callsets environ errors image isolators labels names pod record reify source strings
        lading.formats.appc: values wanted
        lading.images: aci aliases content leases source
        lading.images.aci: envelope finding format
        lading.node: admission admission_containers admission_extras admission_report admission_sources holder logfile
        lading.node: handed lookup machine membership qos releasing sources termination wire
        lading.kernel: title
        lading.rocket: translate
        lading.rocket.rkt: activation appimages assemble choosing insecure line mountchecks
        lading.rocket.rkt: netflags places podoptions pods running
    """,
    # the metadata service of a pod
    "service": """
        lading: errors formats node rocket roots
        lading.formats: appc jsontext oci_image pod podextras podsecurity quantity schema
        lading.formats.appc: app callsets environ errors image isolators labels metadata names pod record values
        lading.node: database handed lookup model records
        lading.rocket: metadata rkt
        lading.rocket.rkt: identity pods
    """,
    "runtime": f"""
        {_KERNEL} {_RUNTIME}
        lading: flags
        lading.runtime: cli commands foreground validate
    """,
}

GROUPS = tuple(_GROUPS)


def modules(group: str) -> list[str]:
    """The full names of a group's modules."""
    names: list[str] = []
    package = ""
    for word in _GROUPS[group].split():
        if word.endswith(":"):
            package = word[:-1]
        else:
            names.append(f"{package}.{word}")
    return names


def write(group: str) -> None:
    """Write a group's start file; whoever reads meanwhile sees the old one or the new one, whole.

    Raises :class:`OSError`. Reading and writing may race with an editor: the stamp is taken before the source is read,
    so that whatever is saved later differs from it.
    """
    where = start.path(group)
    if not where:
        return
    listed = modules(group)
    needs = _needs(listed)
    index: dict[str, start.Entry] = {}
    codes: dict[str, object] = {}
    for name in listed:
        origin = _source(name)
        try:
            info = os.stat(origin)
        except FileNotFoundError:
            continue  # renamed: the list is wrong, the others are not
        code = SourceFileLoader(name, origin).get_code(name)
        if code is not None:
            index[name] = (origin, cache_from_source(origin), info.st_mtime_ns, info.st_size, needs[name])
            codes[name] = code
    first, second = marshal.dumps((start.PACKAGE, index)), marshal.dumps(codes)
    lengths = len(first).to_bytes(4, "little") + len(second).to_bytes(4, "little")
    _replace(where, start.IDENTITY + lengths + first + second)


def _needs(listed: list[str]) -> dict[str, tuple[str, ...]]:
    """Module → the modules of the list that its first level imports, which may be made before it.

    Only what a module is sure to import counts, so that what is lazy stays lazy. Packages are left to the import
    system, and so are modules that import each other, and a package's own modules: it must be there before they are.
    """
    plain = {name for name in listed if not _source(name).endswith("/__init__.py")}
    direct = {name: [n for n in _imported(name) if n in plain and n != name] for name in listed}
    reached: dict[str, set[str]] = {}
    for name in listed:
        seen: set[str] = set()
        waiting = list(direct[name])
        while waiting:
            other = waiting.pop()
            if other not in seen:
                seen.add(other)
                waiting += direct[other]
        reached[name] = seen
    return {
        name: tuple(n for n in found if name not in reached[n] and not n.startswith(f"{name}."))
        for name, found in direct.items()
    }


def _imported(name: str) -> list[str]:
    """What may be a module among the names that a source imports without any condition, in order."""
    try:
        with open(_source(name), encoding="utf-8") as stream:
            body = ast.parse(stream.read()).body
    except (FileNotFoundError, SyntaxError):
        return []
    found: list[str] = []
    for node in body:
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return list(dict.fromkeys(found))


def _source(name: str) -> str:
    path = start.PACKAGE + name.removeprefix("lading").replace(".", "/")
    return f"{path}/__init__.py" if os.path.isdir(path) else f"{path}.py"


def _replace(where: str, data: bytes) -> None:
    """Write, fsync, rename: a file that a power cut left half empty would look whole."""
    beside = f"{where}.{os.getpid()}"
    os.makedirs(os.path.dirname(where), exist_ok=True)
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        os.fchmod(fd, 0o644)  # others shall read it, whatever the umask: they may read the sources
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        os.fsync(fd)
        os.rename(beside, where)
    except BaseException:
        os.unlink(beside)
        raise
    finally:
        os.close(fd)


def main() -> None:
    """Write every group's file."""
    for group in GROUPS:
        write(group)


if __name__ == "__main__":
    main()
