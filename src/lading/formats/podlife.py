"""How a Pod's container lives: probes, hooks, and rules about its end (core/v1 Probe, Lifecycle, ContainerRestartRule)."""

from __future__ import annotations

from lading.formats.schema import Record


class ExitCodes(Record):
    """Exit codes that a rule is about: ``In`` or ``NotIn`` ``values``."""

    operator: str
    values: list[int] = []


class RestartRule(Record):
    """What happens when a container ends with certain exit codes; the only action is ``Restart``."""

    action: str
    exit_codes: ExitCodes | None = None


class ExecAction(Record):
    command: list[str] = []


class HTTPHeader(Record):
    name: str
    value: str = ""


class HTTPGetAction(Record):
    path: str = ""
    port: int | str
    host: str = ""
    scheme: str = "HTTP"
    http_headers: list[HTTPHeader] = []
    protocol: str = ""


class TCPSocketAction(Record):
    port: int | str
    host: str = ""


class GRPCAction(Record):
    port: int
    service: str = ""
    mode: str = ""


class SleepAction(Record):
    seconds: int


class Probe(Record):
    _wire = {"http_get": "httpGet"}
    exec: ExecAction | None = None
    http_get: HTTPGetAction | None = None
    tcp_socket: TCPSocketAction | None = None
    grpc: GRPCAction | None = None
    initial_delay_seconds: int = 0
    timeout_seconds: int = 1
    period_seconds: int = 10
    success_threshold: int = 1
    failure_threshold: int = 3
    termination_grace_period_seconds: int | None = None


class LifecycleHandler(Record):
    exec: ExecAction | None = None
    http_get: HTTPGetAction | None = None
    tcp_socket: TCPSocketAction | None = None
    sleep: SleepAction | None = None


class Lifecycle(Record):
    post_start: LifecycleHandler | None = None
    pre_stop: LifecycleHandler | None = None
    stop_signal: str = ""
