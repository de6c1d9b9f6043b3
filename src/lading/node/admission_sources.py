"""Admission of what is taken from elsewhere: variables and volumes out of ConfigMaps, Secrets and the downward API.

ConfigMaps and Secrets are those that stand beside the Pod in its manifest. One that is needed and missing is an error at once,
where a cluster would wait for somebody to make it.
"""

from __future__ import annotations

from lading.node import sources
from lading.node.admission_report import Report, is_subdomain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.formats.pod import Container, EnvVar, KeySelector, Pod
    from lading.formats.podvolumes import DownwardAPIFile, KeyToPath, Volume

_FIELD_PATHS = (
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "metadata.labels",
    "metadata.annotations",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
)
_RESOURCE_FIELDS = tuple(
    f"{kind}.{name}" for kind in ("limits", "requests") for name in ("cpu", "memory", "ephemeral-storage")
)
_DIVISORS = ("1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei")
_BESIDE = "put it into the same manifest, as a document of its own"


def environment(pod: Pod, container: Container, path: str, report: Report) -> None:
    """``env`` and ``envFrom``."""
    for index, variable in enumerate(container.env):
        here = f"{path}.env[{index}]"
        if not _is_env_name(variable.name):
            report.bad(f"{here}.name", f"{variable.name[:80]!r} is not printable ASCII without '='")
        if "\0" in variable.value:
            report.bad(f"{here}.value", "contains a NUL byte")
        if variable.value_from is not None:
            _value_from(pod, variable, here, report)
    for index, source in enumerate(container.env_from):
        here = f"{path}.envFrom[{index}]"
        if source.prefix and not _is_env_name(source.prefix):
            report.bad(f"{here}.prefix", f"{source.prefix!r} is not printable ASCII without '='")
        given = [
            (field, kind, value)
            for field, kind, value in (
                ("configMapRef", sources.CONFIG_MAP, source.config_map_ref),
                ("secretRef", sources.SECRET, source.secret_ref),
            )
            if value is not None
        ]
        if len(given) != 1:
            report.bad(here, "exactly one source is needed")
        for field, kind, value in given:
            _there(pod, kind, value.name, bool(value.optional), f"{here}.{field}", report)


def _is_env_name(name: str) -> bool:
    return bool(name) and name.isascii() and name.isprintable() and "=" not in name


def _there(
    pod: Pod, kind: str, name: str, optional: bool, path: str, report: Report, *, field: str = "name"
) -> bool:
    """Whether the ConfigMap or Secret that ``field`` names is beside the Pod; a problem when it is not and must be."""
    if not name:
        report.bad(f"{path}.{field}", "required field is missing")
        return False
    if not is_subdomain(name):
        report.bad(f"{path}.{field}", f"{name[:80]!r} is not the name of a {kind}")
        return False
    if sources.find(pod, kind, name) is not None:
        return True
    if not optional:
        report.bad(path, f"there is no {kind} {name!r}: {_BESIDE}")
    return False


def _value_from(pod: Pod, variable: EnvVar, here: str, report: Report) -> None:
    source = variable.value_from
    assert source is not None
    if variable.value:
        report.bad(f"{here}.valueFrom", "does not go with value")
    given = (
        source.field_ref,
        source.resource_field_ref,
        source.config_map_key_ref,
        source.secret_key_ref,
        source.file_key_ref,
    )
    if sum(value is not None for value in given) != 1:
        report.bad(f"{here}.valueFrom", "exactly one source is needed")
    if source.file_key_ref is not None:
        report.unsupported(f"{here}.valueFrom.fileKeyRef", "files of a container are not read for variables")
    for field, kind, key in (
        ("configMapKeyRef", sources.CONFIG_MAP, source.config_map_key_ref),
        ("secretKeyRef", sources.SECRET, source.secret_key_ref),
    ):
        if key is not None:
            _key(pod, kind, key, f"{here}.valueFrom.{field}", report)
    if source.field_ref is not None:
        field_ref(source.field_ref.field_path, f"{here}.valueFrom.fieldRef.fieldPath", report, volume=False)
        if source.field_ref.api_version not in ("", "v1"):
            report.bad(f"{here}.valueFrom.fieldRef.apiVersion", f"{source.field_ref.api_version!r} is not v1")
    if source.resource_field_ref is not None:
        resource_ref(
            source.resource_field_ref.resource, source.resource_field_ref.divisor, f"{here}.valueFrom", report
        )


def _key(pod: Pod, kind: str, key: KeySelector, path: str, report: Report) -> None:
    if not _there(pod, kind, key.name, bool(key.optional), path, report) or key.optional:
        return
    found = sources.find(pod, kind, key.name)
    assert found is not None
    if key.key not in found.values:
        why = "is not text" if key.key in found.binary else "is not in it"
        report.bad(f"{path}.key", f"{key.key[:80]!r} {why}")


# -- volumes -------------------------------------------------------------------------------------------------------


def written(pod: Pod, volume: Volume, path: str, report: Report) -> None:
    """A ``configMap``, ``secret``, ``downwardAPI`` or ``projected`` volume."""
    if volume.config_map is not None:
        here, config = f"{path}.configMap", volume.config_map
        report.within(f"{here}.defaultMode", config.default_mode, 0, 0o777)
        _user(config.default_user, f"{here}.defaultUser", report)
        _keys(pod, sources.CONFIG_MAP, config.name, config.items, bool(config.optional), here, report)
    if volume.secret is not None:
        here, secret = f"{path}.secret", volume.secret
        report.within(f"{here}.defaultMode", secret.default_mode, 0, 0o777)
        _user(secret.default_user, f"{here}.defaultUser", report)
        _keys(
            pod,
            sources.SECRET,
            secret.secret_name,
            secret.items,
            bool(secret.optional),
            here,
            report,
            field="secretName",
        )
    if volume.downward_api is not None:
        here = f"{path}.downwardAPI"
        report.within(f"{here}.defaultMode", volume.downward_api.default_mode, 0, 0o777)
        _user(volume.downward_api.default_user, f"{here}.defaultUser", report)
        _downward(pod, volume.downward_api.items, here, report)
    if volume.projected is not None:
        _projected(pod, volume, f"{path}.projected", report)


def _user(user: int | None, path: str, report: Report) -> None:
    if user is not None:
        report.unsupported(path, "such files belong to root; fsGroup gives them a group")


def _projected(pod: Pod, volume: Volume, path: str, report: Report) -> None:
    assert volume.projected is not None
    report.within(f"{path}.defaultMode", volume.projected.default_mode, 0, 0o777)
    _user(volume.projected.default_user, f"{path}.defaultUser", report)
    for index, source in enumerate(volume.projected.sources):
        here = f"{path}.sources[{index}]"
        if sum(getattr(source, field) is not None for field in source._fields) != 1:
            report.bad(here, "exactly one source is needed")
        for kind, field, part in (
            (sources.CONFIG_MAP, "configMap", source.config_map),
            (sources.SECRET, "secret", source.secret),
        ):
            if part is not None:
                _keys(pod, kind, part.name, part.items, bool(part.optional), f"{here}.{field}", report)
        if source.downward_api is not None:
            _downward(pod, source.downward_api.items, f"{here}.downwardAPI", report)
        for field, thing in (
            ("serviceAccountToken", source.service_account_token),
            ("clusterTrustBundle", source.cluster_trust_bundle),
            ("podCertificate", source.pod_certificate),
        ):
            if thing is not None:
                report.unsupported(f"{here}.{field}", "there is no cluster that would sign it")


def _keys(
    pod: Pod,
    kind: str,
    name: str,
    items: list[KeyToPath],
    optional: bool,
    path: str,
    report: Report,
    *,
    field: str = "name",
) -> None:
    there = _there(pod, kind, name, optional, path, report, field=field)
    source = sources.find(pod, kind, name) if there else None
    for index, item in enumerate(items):
        here = f"{path}.items[{index}]"
        _relative(item.path, f"{here}.path", report)
        report.within(f"{here}.mode", item.mode, 0, 0o777)
        _user(item.user, f"{here}.user", report)
        if (
            source is not None
            and item.key not in source.values
            and item.key not in source.binary
            and not optional
        ):
            report.bad(f"{here}.key", f"{item.key[:80]!r} is not in {kind} {name!r}")


def _relative(text: str, path: str, report: Report) -> None:
    parts = text.split("/")
    if not text or text.startswith("/") or ".." in parts or parts[0].startswith(".."):
        report.bad(path, f"{text[:80]!r} is not a relative path without '..'")


def _downward(pod: Pod, items: list[DownwardAPIFile], path: str, report: Report) -> None:
    for index, item in enumerate(items):
        here = f"{path}.items[{index}]"
        _relative(item.path, f"{here}.path", report)
        report.within(f"{here}.mode", item.mode, 0, 0o777)
        _user(item.user, f"{here}.user", report)
        if (item.field_ref is None) == (item.resource_field_ref is None):
            report.bad(here, "exactly one of fieldRef and resourceFieldRef is needed")
        if item.field_ref is not None:
            field_ref(item.field_ref.field_path, f"{here}.fieldRef.fieldPath", report, volume=True)
        if item.resource_field_ref is not None:
            name = item.resource_field_ref.container_name
            if not name:
                report.bad(f"{here}.resourceFieldRef.containerName", "required field is missing")
            elif name not in [c.name for c in (*pod.spec.containers, *pod.spec.init_containers)]:
                report.bad(f"{here}.resourceFieldRef.containerName", f"the pod has no container {name!r}")
            resource_ref(item.resource_field_ref.resource, item.resource_field_ref.divisor, here, report)


# -- the downward API ----------------------------------------------------------------------------------------------


def field_ref(text: str, path: str, report: Report, *, volume: bool) -> None:
    """``metadata.name``, ``metadata.labels['key']`` … of the downward API; whole maps only in a volume."""
    base, bracket, rest = text.partition("[")
    maps = ("metadata.labels", "metadata.annotations")
    if base not in _FIELD_PATHS or (bracket and (base not in maps or rest[:1] != "'" or rest[-2:] != "']")):
        report.bad(path, f"{text!r} is not a field of a pod that may be used here")
    elif base in maps and not bracket and not volume:
        report.bad(path, f"{text!r} needs a key: {text}['KEY']")
    elif volume and base.startswith(("status.", "spec.")):
        report.bad(path, f"{text!r} may not be used in a volume")


def resource_ref(resource: str, divisor: str | int | float, path: str, report: Report) -> None:
    """``limits.cpu`` … with a divisor of the downward API."""
    if resource not in _RESOURCE_FIELDS:
        report.bad(
            f"{path}.resourceFieldRef.resource", f"{resource!r} is not one of {', '.join(_RESOURCE_FIELDS)}"
        )
    divisor = str(divisor)
    if divisor not in ("", "0"):
        allowed = ("1", "1m") if resource.endswith("cpu") else ("1", *_DIVISORS)
        if divisor not in allowed:
            report.bad(f"{path}.resourceFieldRef.divisor", f"{divisor!r} is not one of {', '.join(allowed)}")
