"""Container Network Interface: run the standard's plugin binaries for a network that Lading does not make itself.

A network of driver ``cni`` is a configuration list (``NAME.conflist``, or a single plugin's ``NAME.conf``). Attaching runs its
plugins' ADD in order, each with the result of the one before; detaching runs DEL in reverse order, with the result kept
from ADD, and carries on after a failure so that as much as possible is given back. What is about to be added is written
down first, so that an attachment interrupted by a kill is deleted by ``check``.

The other commands are never given. CHECK: portmap as Debian 12 ships it calls a sound container with IPv4 alone broken.
GC: every ADD gets its DEL by the record, while GC takes what another runtime has from the same list. STATUS: ADD says for
itself what is not ready. VERSION: so does a plugin that does not speak the list's version.

Source: the CNI specification 1.1.0 (github.com/containernetworking/cni, SPEC.md), sections 1 to 5, and CONVENTIONS.md
(``capabilities``, ``CNI_ARGS``).
"""

from __future__ import annotations

import os

from lading.errors import InvalidInput, LadingError, NotFound, RemoteError, TimedOut, Unsupported
from lading.formats.jsontext import dumps, loads
from lading.formats.schema import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from lading.network.model import PortMapping

#: Where plugin binaries are looked for, after those the user names.
PLUGIN_DIRECTORIES = ("/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni")
#: Versions of the protocol that we speak; a list without one is 0.1.0, which we refuse with all below 0.3.
VERSIONS = ("0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
#: Those whose DEL takes no result.
_ADD_ALONE = ("0.3.0", "0.3.1")
#: A plugin that takes longer (DHCP is the slowest) is killed.
TIMEOUT = 60.0
_OUTPUT_LIMIT = 1 << 20
_CONFIG_LIMIT = 1 << 20
_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")


class ConfigList(Record):
    """A network configuration list. ``plugins`` stay as they are: their fields belong to the plugins."""

    _wire = {
        "cni_version": "cniVersion",
        "cni_versions": "cniVersions",
        "load_only_inlined": "loadOnlyInlinedPlugins",
    }
    name: str
    cni_version: str = "0.1.0"
    cni_versions: list[str] = []
    load_only_inlined: bool = False
    plugins: list[dict[str, object]] = []


class CniAddress(Record):
    """One entry of a result's ``ips``. ``version`` is only in results before 1.0."""

    address: str
    gateway: str = ""
    interface: int | None = None
    version: str = ""


class CniInterface(Record):
    """One entry of a result's ``interfaces``; ``sandbox`` is empty for interfaces of the host."""

    name: str
    mac: str = ""
    mtu: int = 0
    sandbox: str = ""
    socket_path: str = ""
    pci_id: str = ""


class CniDns(Record):
    """A result's name servers."""

    nameservers: list[str] = []
    domain: str = ""
    search: list[str] = []
    options: list[str] = []


class CniResult(Record):
    """What ADD achieved."""

    _wire = {"cni_version": "cniVersion"}
    cni_version: str = ""
    interfaces: list[CniInterface] = []
    ips: list[CniAddress] = []
    routes: list[object] = []
    dns: CniDns = CniDns()


def _text(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            text = file.read(_CONFIG_LIMIT + 1)
    except FileNotFoundError:
        raise NotFound(f"CNI configuration {path} does not exist") from None
    if len(text) > _CONFIG_LIMIT:
        raise InvalidInput(f"CNI configuration {path} is larger than {_CONFIG_LIMIT} bytes")
    return text


def load(path: str) -> ConfigList:
    """Read a ``.conflist`` or a single plugin's ``.conf``/``.json``. Raises InvalidInput, NotFound, Unsupported."""
    value = loads(_text(path), what=path)
    if isinstance(value, dict) and "plugins" not in value and "type" in value:
        single = {k: v for k, v in value.items() if k not in ("name", "cniVersion")}
        value = {
            "name": value.get("name"),
            "cniVersion": value.get("cniVersion", "0.1.0"),
            "plugins": [single],
        }
    config = ConfigList.decode(value, where=path, strict=False)
    if config.load_only_inlined and not config.plugins:
        raise InvalidInput(f"{path}: loadOnlyInlinedPlugins is true, and there are no plugins in the list")
    if path.endswith(".conflist") and not config.load_only_inlined:
        config.plugins += _beside(path, config.name)
    if config.cni_versions:  # takes the place of cniVersion: the highest that both sides know
        known = [v for v in VERSIONS if v in (*config.cni_versions, config.cni_version)]
        config.cni_version = known[-1] if known else config.cni_versions[-1]
    _check_config(config, path)
    return config


def _beside(path: str, name: str) -> list[dict[str, object]]:
    """Plugins that stand alone: the ``.conf`` files of the folder beside the list that is called like the network."""
    if not _is_name(name):
        return []
    folder = f"{os.path.dirname(path)}/{name}"
    try:
        entries = sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
    found = []
    for entry in entries:
        if entry.endswith(".conf"):
            value = loads(_text(f"{folder}/{entry}"), what=f"{folder}/{entry}")
            if not isinstance(value, dict):
                raise InvalidInput(f"{folder}/{entry}: a plugin's configuration must be an object")
            found.append(value)
    return found


def _is_name(name: str) -> bool:
    return bool(name) and name[0].isalnum() and _NAME.issuperset(name)


def _check_config(config: ConfigList, path: str) -> None:
    if not _is_name(config.name):
        raise InvalidInput(
            f"{path}: network name {config.name!r} is not valid", hint="use letters, digits, '_', '.', '-'"
        )
    if config.cni_version not in VERSIONS:
        raise Unsupported(
            f"{path}: CNI version {config.cni_version!r} is not supported", hint=f"use {VERSIONS[-1]}"
        )
    if not config.plugins:
        raise InvalidInput(f"{path}: no plugins in the list")
    for index, plugin in enumerate(config.plugins):
        kind = plugin.get("type")
        if not isinstance(kind, str) or not kind or "/" in kind or kind.startswith("."):
            raise InvalidInput(f"{path}: plugins[{index}].type must be the file name of a plugin")


def find(directories: Sequence[str], name: str) -> tuple[ConfigList, str]:
    """The configuration called ``name`` and its path; files are read in order of their names. Raises NotFound."""
    for directory in directories:
        try:
            entries = sorted(os.listdir(directory))
        except FileNotFoundError:
            continue
        for entry in entries:
            if not entry.endswith((".conflist", ".conf", ".json")):
                continue
            config = load(f"{directory}/{entry}")
            if config.name == name:
                return config, f"{directory}/{entry}"
    raise NotFound(f"no CNI network {name!r} in {', '.join(directories)}", hint="put its .conflist there")


class CniNetwork:
    """One configuration list, ready to attach containers.

    ``plugin_path`` are directories of plugin binaries; ``cache`` is a directory for results, one file an attachment.
    """

    def __init__(self, config: ConfigList, plugin_path: Sequence[str], cache: str) -> None:
        self.config = config
        self.plugin_path = [*plugin_path, *PLUGIN_DIRECTORIES]
        self.cache = cache

    def add(
        self,
        container_id: str,
        netns: str,
        interface: str = "eth0",
        *,
        ports: Sequence[PortMapping] = (),
        args: dict[str, str] | None = None,
        capabilities: dict[str, object] | None = None,
        optional: dict[str, object] | None = None,
    ) -> CniResult:
        """Attach: every plugin's ADD. A failure deletes what the plugins did, then raises.

        ``netns`` is a path that stays valid meanwhile (``/proc/PID/fd/N`` will do). ``ports`` need a plugin with the
        ``portMappings`` capability: without one they are refused, as are all ``capabilities``; ``optional`` ones go to whoever
        claims them. Raises RemoteError with the plugin's own words.
        """
        wanted = dict(capabilities or {})
        if ports:
            wanted["portMappings"] = [_port(port) for port in ports]
        self._refuse_unclaimed(wanted)
        wanted.update((key, value) for key, value in (optional or {}).items() if value)
        binaries = [self._binary(plugin) for plugin in self.config.plugins]
        self._clear(container_id, interface)
        record: dict[str, Any] = {
            "container": container_id,
            "netns": netns,
            "interface": interface,
            "args": dict(args or {}),
            "capabilities": wanted,
            "config": self.config.encode(),
            "result": None,
        }
        self._remember(record)
        previous: object = None
        added = 0
        try:
            for plugin, binary in zip(self.config.plugins, binaries, strict=True):
                previous = self._run("ADD", binary, plugin, record, previous)
                added += 1
        except LadingError:
            record["result"] = previous
            # Whoever repairs tries again what was given and not taken back; one that never gave may not even be able to.
            if not any(index < added for index, _ in self._delete_all(record)):
                self._forget(container_id, interface)
            raise
        record["result"] = previous
        self._remember(record)
        return CniResult.decode(
            previous or {}, where=f"result of CNI network {self.config.name}", strict=False
        )

    def _clear(self, container_id: str, interface: str) -> None:
        """DEL what an attachment of the same name left when the machine went down: ADD twice is an error (section 3)."""
        left = self._recall(container_id, interface)
        if left is not None:
            config = ConfigList.decode(left["config"], where="CNI record", strict=False)
            CniNetwork(config, self.plugin_path, self.cache).delete(container_id, "", interface)

    def delete(self, container_id: str, netns: str = "", interface: str = "eth0") -> None:
        """Detach: every plugin's DEL in reverse order, all of them even after a failure. Deleting twice is no error.

        ``netns`` may be empty when the namespace is gone. Raises RemoteError naming the plugins that failed; the record
        stays, so that it can be tried again.
        """
        record = self._recall(container_id, interface)
        if record is None:
            return
        record["netns"] = netns
        failures = self._delete_all(record)
        if failures:
            words = "; ".join(words for _, words in failures)
            raise RemoteError(f"CNI network {self.config.name}: {words}", reason="cni-del")
        self._forget(container_id, interface)

    def _refuse_unclaimed(self, wanted: dict[str, object]) -> None:
        for capability in wanted:
            if not any(_claims(plugin, capability) for plugin in self.config.plugins):
                raise Unsupported(
                    f"CNI network {self.config.name} has no plugin with the capability {capability}",
                    hint="add one (for ports: the portmap plugin) to its configuration",
                )

    def _binary(self, plugin: dict[str, object]) -> str:
        kind = str(plugin["type"])
        for directory in self.plugin_path:
            path = f"{directory}/{kind}"
            if os.access(path, os.X_OK):
                return path
        raise NotFound(
            f"CNI plugin {kind!r} is in none of {', '.join(self.plugin_path)}",
            hint=f"install it, or put it into {self.plugin_path[0]}",
        )

    def _delete_all(self, record: dict[str, Any]) -> list[tuple[int, str]]:
        """DEL by every plugin, the last first; the position and the words of each that failed."""
        failures = []
        for index, plugin in reversed(list(enumerate(self.config.plugins))):
            try:
                self._run("DEL", self._binary(plugin), plugin, record, record["result"])
            except LadingError as error:
                failures.append((index, error.message))
        return failures

    def _run(
        self, command: str, binary: str, plugin: dict[str, object], record: dict[str, Any], previous: object
    ) -> object:
        import subprocess

        request = {k: v for k, v in plugin.items() if k != "capabilities"}
        request["name"] = self.config.name
        request["cniVersion"] = self.config.cni_version
        runtime = {k: v for k, v in record["capabilities"].items() if _claims(plugin, k)}
        if runtime:
            request["runtimeConfig"] = runtime
        if previous is not None and (command == "ADD" or self.config.cni_version not in _ADD_ALONE):
            request["prevResult"] = previous
        environment = {
            "PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": record["container"],
            "CNI_NETNS": record["netns"],
            "CNI_IFNAME": record["interface"],
            "CNI_ARGS": ";".join(f"{k}={v}" for k, v in record["args"].items()),
            "CNI_PATH": ":".join(self.plugin_path),
        }
        try:
            done = subprocess.run(
                [binary],
                input=dumps(request).encode(),
                env=environment,
                capture_output=True,
                timeout=TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise TimedOut(f"CNI plugin {binary} did not finish {command} within {TIMEOUT:.0f} s") from None
        except OSError as error:
            raise RemoteError(f"CNI plugin {binary} cannot be run: {error.strerror}") from None
        if done.returncode != 0:
            raise RemoteError(
                f"CNI plugin {plugin['type']} {command}: {_plugin_error(done.stdout, done.stderr)}",
                reason="cni",
            )
        if command != "ADD":
            return None
        if len(done.stdout) > _OUTPUT_LIMIT:
            raise RemoteError(
                f"CNI plugin {plugin['type']} answered with more than {_OUTPUT_LIMIT} bytes", reason="cni"
            )
        return loads(done.stdout, what=f"result of CNI plugin {plugin['type']}")

    def _path(self, container_id: str, interface: str) -> str:
        return f"{self.cache}/{self.config.name}!{container_id}!{interface}.json"

    def _remember(self, record: dict[str, Any]) -> None:
        os.makedirs(self.cache, 0o700, exist_ok=True)
        path = self._path(record["container"], record["interface"])
        fresh = f"{path}.{os.getpid()}"
        with open(fresh, "wb") as file:
            file.write(dumps(record).encode())
            file.flush()
            os.fsync(file.fileno())
        os.rename(fresh, path)

    def _recall(self, container_id: str, interface: str) -> dict[str, Any] | None:
        path = self._path(container_id, interface)
        try:
            with open(path, "rb") as file:
                return loads(file.read(), what=path)  # type: ignore[no-any-return]
        except FileNotFoundError:
            return None

    def _forget(self, container_id: str, interface: str) -> None:
        try:
            os.unlink(self._path(container_id, interface))
        except FileNotFoundError:
            pass


def _claims(plugin: dict[str, object], capability: str) -> bool:
    claimed = plugin.get("capabilities")
    return isinstance(claimed, dict) and claimed.get(capability) is True


def _port(port: PortMapping) -> dict[str, object]:
    if port.count != 1:
        raise InvalidInput("port ranges are spelt out one by one for CNI")
    mapping: dict[str, object] = {
        "hostPort": port.host_port,
        "containerPort": port.container_port,
        "protocol": port.protocol,
    }
    if port.host_ip:
        mapping["hostIP"] = port.host_ip
    return mapping


def _plugin_error(stdout: bytes, stderr: bytes) -> str:
    """The plugin's own words: an error result on stdout (SPEC.md, section 5), or whatever it printed."""
    try:
        value = loads(stdout[:_OUTPUT_LIMIT])
    except InvalidInput:
        value = None
    if isinstance(value, dict) and value.get("msg"):
        details = value.get("details")
        return f"{value['msg']}: {details}" if details else str(value["msg"])
    words = (stderr or stdout).decode(errors="replace").strip()
    return words[:500] or "failed without a word"
