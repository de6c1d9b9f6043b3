"""A service's container as a Pod of one: a pure function of the project, and of what the plan knows of the machine.

Source: Compose specification, "Services". What a service and ``lading run`` both can say goes through the latter's translation
(:mod:`lading.compose.options`); the rest is here.
"""

from __future__ import annotations

from lading.cli.translate import Surroundings, literal, pod_from_run
from lading.compose import labels, mounts, options
from lading.errors import InvalidInput, LadingError
from lading.formats import sizes
from lading.formats.compose import naming
from lading.formats.compose.shapes import whole
from lading.formats.pod import EnvVar, Healthcheck, NetworkRequest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lading.formats.compose.model import Project
    from lading.formats.compose.model_service import Joined, Service
    from lading.formats.pod import BindMount, Container, Pod


class World:
    """What a translation asks of the machine.

    ``container``  the name of a running container of another service, whose namespace is joined.
    ``file``       a service's file, config or secret, as a path of this machine: (kind, name, uid, gid, mode).
    ``volumes``    what another container mounts (``volumes_from``).
    ``free_port``  the first free port of a range: protocol, address, first, last.
    """

    def __init__(
        self,
        *,
        container: Callable[[str], str],
        file: Callable[[str, str, str, str, str], str],
        volumes: Callable[[str], Sequence[BindMount]],
        free_port: Callable[[str, str, int, int], int],
    ) -> None:
        self.container = container
        self.file = file
        self.volumes = volumes
        self.free_port = free_port


def name_of(project: Project, service_name: str, number: int) -> str:
    """What a container is called."""
    given = project.services[service_name].container_name
    return given or naming.container(project.name, service_name, number)


def pod_of(
    project: Project,
    service_name: str,
    number: int,
    world: World,
    *,
    image: str,
    marks: Mapping[str, str],
    name: str = "",
    oneoff: bool = False,
    kept: Mapping[str, str] | None = None,
) -> Pod:
    """The Pod of the ``number``th container of a service.

    ``image`` is what to make it of; ``marks`` are labels beside those that say whose it is; ``kept`` are the anonymous volumes
    of the container that it takes the place of, by target. Raises :class:`InvalidInput` and Unsupported with the path in front.
    """
    service = project.services[service_name]
    where = f"services.{service_name}"
    asked = options.of(service, where)
    asked["name"] = name or name_of(project, service_name, number)
    asked["pull"] = "never"
    asked["label"] = []
    try:
        mode, asked["network"] = _mode(service, where, world)
        for field in ("ipc", "pid"):
            asked[field] = _shared(asked[field], world)
        pod = pod_from_run(asked, [image], Surroundings({}, "/", _no_file, _no_volumes, world.free_port))
    except LadingError as error:
        raise options.told(error, where) from None
    container = pod.spec.containers[0]
    _command(service, container)
    container.env = _environment(service)
    container.extras.labels = {
        **service.labels,
        labels.PROJECT: project.name,
        labels.SERVICE: service_name,
        labels.NUMBER: str(number),
        labels.ONEOFF: str(oneoff),
        **marks,
    }
    pod.metadata.annotations = dict(service.annotations)
    _health(service, container, where)
    _reserved(service, container)
    _log(service, container, f"{where}.logging.options")
    mounts.into(project, service_name, container, world, kept or {})
    if not mode:
        pod.spec.extras.networks = _networks(project, service_name, number, oneoff=oneoff)
    return pod


def _no_file(flag: str, path: str) -> bytes:
    raise InvalidInput(f"{flag} {path}")


def _no_volumes(name: str) -> list[BindMount]:
    return []


def _mode(service: Service, where: str, world: World) -> tuple[str, list[str]]:
    mode = service.network_mode
    kind, colon, other = mode.partition(":")
    if kind == "service" and colon:
        return mode, [f"container:{world.container(other)}"]
    if mode in ("bridge", "default"):
        return mode, []
    if mode in ("none", "host") or (kind == "container" and colon and other):
        return mode, [mode]
    if mode:
        raise InvalidInput(
            f"{mode[:60]!r} is not none, host, bridge, service:NAME or container:NAME", hint="or use networks"
        )
    return "", []


def _shared(mode: str, world: World) -> str:
    kind, colon, other = mode.partition(":")
    return f"container:{world.container(other)}" if kind == "service" and colon else mode


def _command(service: Service, container: Container) -> None:
    if service.entrypoint is not None:
        container.extras.entrypoint_given = True
        container.command = [
            literal(word) for word in service.entrypoint if word or len(service.entrypoint) > 1
        ]
    if service.command is not None:
        container.args = [literal(word) for word in service.command]


def _environment(service: Service) -> list[EnvVar]:
    return [
        EnvVar(name=name, value=literal(value))
        for name, value in service.environment.items()
        if value is not None
    ]


def _health(service: Service, container: Container, where: str) -> None:
    """The command of a health check; the rest of it is a flag's of ``run``."""
    given = service.healthcheck
    made = container.extras.healthcheck
    if given is None or (made is not None and made.test == ["NONE"]):
        return
    if given.test and len(given.test) < 2:
        raise InvalidInput(f"{where}.healthcheck.test: {given.test[0]} is followed by nothing")
    container.extras.healthcheck = made or Healthcheck()
    container.extras.healthcheck.test = [*given.test]


def _log(service: Service, container: Container, where: str) -> None:
    """How large a file of the log gets and how many there are, by ``json-file``'s rules: one, or with ``local`` five."""
    if service.logging is None:
        return
    size, count = (service.logging.options.get(name) for name in ("max-size", "max-file"))
    if size and size != "-1":
        container.extras.log_size = sizes.decimal_bytes(size, what=f"{where}.max-size:")
        if not container.extras.log_size:
            raise InvalidInput(f"{where}.max-size: 0 leaves no room")
        container.extras.log_files = 5 if service.logging.driver == "local" else 1
    if count:
        container.extras.log_files = whole(count, f"{where}.max-file")
        if container.extras.log_files < 1:
            raise InvalidInput(f"{where}.max-file: {count[:40]} is not 1 or more")
        if container.extras.log_size is None and container.extras.log_files > 1:
            raise InvalidInput(
                f"{where}.max-file: it says nothing without max-size", hint="add max-size: 10m"
            )


def _reserved(service: Service, container: Container) -> None:
    """``deploy.resources.reservations.cpus``: a share of busy processors."""
    resources = service.deploy.resources if service.deploy is not None else None
    reserved = resources.reservations if resources is not None else None
    if reserved is None or not reserved.cpus:
        return
    from lading.cli.translate_limits import cpus
    from lading.formats.pod import ResourceRequirements

    if container.resources is None:
        container.resources = ResourceRequirements()
    container.resources.requests = {**container.resources.requests, "cpu": cpus(reserved.cpus)}


def _networks(project: Project, service_name: str, number: int, *, oneoff: bool) -> list[NetworkRequest]:
    service = project.services[service_name]

    def rank(entry: tuple[str, Joined | None]) -> float:
        return -(entry[1].priority if entry[1] is not None else 0.0)

    made = []
    for key, joined in sorted(service.networks.items(), key=rank):
        request = NetworkRequest(name=project.networks[key].name)
        if not oneoff:
            request.aliases = [service_name, *_linked(project, service_name, key)]
        if joined is not None:
            if not oneoff:
                request.aliases += [alias for alias in joined.aliases if alias not in request.aliases]
            request.ipv4, request.ipv6 = joined.ipv4_address, joined.ipv6_address
            request.mac = joined.mac_address.lower()
            request.gateway_priority = joined.gw_priority
        made.append(request)
    if made and service.mac_address and not made[0].mac:
        made[0].mac = service.mac_address.lower()
    return made


def _linked(project: Project, service_name: str, network: str) -> list[str]:
    """What others of a network call this service by their ``links``."""
    found = []
    for other in project.services.values():
        for link in other.links:
            name, colon, alias = link.partition(":")
            if name == service_name and colon and alias and network in other.networks and alias not in found:
                found.append(alias)
    return found
