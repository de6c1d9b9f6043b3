"""Admission: what may become a pod on this node.

A manifest is checked as the Kubernetes API server checks it, with field paths and every problem listed; then whatever
this node does not do is refused by name. Some fields mean nothing on a single machine (where to schedule, whose
account): they are accepted and their user is told. ``docs/kubernetes-pods.md`` is the table of all of them.

Pods of one that ``lading run`` makes were checked flag by flag before, and pass quickly.
"""

from __future__ import annotations

from lading.errors import InvalidInput
from lading.node.admission_report import Problem, Refused, Report, is_address, is_label, is_subdomain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.formats.pod import DNSConfig, Pod, PodSecurityContext, PodSpec
    from lading.formats.podvolumes import Volume
    from lading.formats.schema import Record

__all__ = ["NO_EFFECT", "REFUSED", "VOLUME_SOURCES", "Problem", "Refused", "admit", "default"]

#: Fields of ``spec`` that are accepted and do nothing here, with the reason their user is told.
NO_EFFECT = {
    "node_name": "there is one node",
    "node_selector": "there is one node",
    "affinity": "there is one node",
    "tolerations": "there is one node",
    "topology_spread_constraints": "there is one node",
    "scheduler_name": "there is one node",
    "priority": "pods do not compete for the node",
    "priority_class_name": "pods do not compete for the node",
    "preemption_policy": "pods do not compete for the node",
    "service_account_name": "there is no API server to give an account for",
    "service_account": "there is no API server to give an account for",
    "automount_service_account_token": "there is no API server to give a token for",
    "enable_service_links": "there are no services",
    "image_pull_secrets": "credentials come from lading login",
    "readiness_gates": "nothing sets conditions from outside",
}

#: Fields of ``spec`` that are refused when they are set.
REFUSED = {
    "ephemeral_containers": "use lading pod exec",
    "scheduling_gates": "nothing would ever lift them",
    "resource_claims": "dynamic resources need a cluster",
    "resources": "resources are set for each container",
    "overhead": "there are no runtime classes",
    "workload_ref": "there is no scheduler that would place pods together",
    "scheduling_group": "there is no scheduler that would place pods together",
    "eviction_responders": "nothing evicts pods from the only node",
    "runtime_class_name": "there are no runtime classes",
    "subdomain": "there are no services that would own it",
    "set_hostname_as_fqdn": "there is no cluster domain",
}

#: Kinds of volumes that work.
VOLUME_SOURCES = (
    "empty_dir",
    "host_path",
    "persistent_volume_claim",
    "config_map",
    "secret",
    "downward_api",
    "projected",
)

_VOLUME_REASONS = {
    "csi": "there are no storage drivers",
    "ephemeral": "there are no storage drivers",
}
_HOST_PATH_TYPES = (
    "",
    "DirectoryOrCreate",
    "Directory",
    "FileOrCreate",
    "File",
    "Socket",
    "CharDevice",
    "BlockDevice",
)
_ANNOTATIONS_LIMIT = 256 << 10


def admit(pod: Pod) -> list[str]:
    """Check ``pod``. The notes to tell its user: fields that are accepted and have no effect.

    Raises :class:`Refused`, whose ``problems`` are all that is wrong.
    """
    if pod.spec.extras.container:
        return []
    from lading.node.admission_containers import containers
    from lading.node.admission_extras import check as extras

    report = Report()
    _metadata(pod, report)
    _spec(pod.spec, report)
    _volumes(pod, report)
    containers(pod, report)
    extras(pod, report)
    if pod.spec.host_users is False:
        from lading.node import admission_users

        admission_users.check(pod, report)
    report.settle()
    return report.notes


#: Fields of a probe in which 0 means that nothing was said.
_PROBE_DEFAULTS = ("timeout_seconds", "period_seconds", "success_threshold", "failure_threshold")


def default(pod: Pod) -> Pod:
    """Fill in what the API server would, in place: ports on the host network, requests out of limits, and what is empty.

    One default differs: without ``imagePullPolicy`` an image that is here is used, also when its tag is ``latest``.
    """
    spec = pod.spec
    _fill(spec, "restart_policy", "dns_policy")
    for container in (*spec.init_containers, *spec.containers):
        _fill(container, "termination_message_path", "termination_message_policy")
        for probe in (container.startup_probe, container.liveness_probe, container.readiness_probe):
            if probe is not None:
                _fill(probe, *_PROBE_DEFAULTS)
                if probe.http_get is not None:
                    _fill(probe.http_get, "scheme")
        for port in container.ports:
            _fill(port, "protocol")
            if spec.host_network and port.host_port == 0 and not spec.extras.container:
                port.host_port = port.container_port
        resources = container.resources
        if resources is not None:
            for name, limit in resources.limits.items():
                resources.requests.setdefault(name, limit)
        if not container.image_pull_policy:
            container.image_pull_policy = "IfNotPresent"
    return pod


def _fill(record: Record, *fields: str) -> None:
    """Give fields that are empty or 0 their default: templates write those where they have nothing to say."""
    for field in fields:
        if getattr(record, field) in ("", 0):
            setattr(record, field, getattr(type(record), field))


def _metadata(pod: Pod, report: Report) -> None:
    from lading.node.admission_report import is_label_value, is_qualified

    metadata = pod.metadata
    if pod.api_version != "v1":
        report.bad("apiVersion", f"{pod.api_version!r} is not v1")
    if pod.kind != "Pod":
        report.bad("kind", f"{pod.kind!r} is not Pod")
    if metadata.name and not is_subdomain(metadata.name):
        report.bad("metadata.name", f"{metadata.name[:80]!r} is not lower-case letters, digits, '-' and '.'")
    if not metadata.name and not metadata.generate_name:
        report.bad("metadata.name", "required field is missing")
    if metadata.generate_name and not is_subdomain(metadata.generate_name.rstrip("-") or "-"):
        report.bad("metadata.generateName", f"{metadata.generate_name[:80]!r} is not the beginning of a name")
    if metadata.namespace and not is_label(metadata.namespace):
        report.bad(
            "metadata.namespace", f"{metadata.namespace[:80]!r} is not lower-case letters, digits and '-'"
        )
    elif metadata.namespace not in ("", "default"):
        report.no_effect("metadata.namespace", "names of pods are unique on the node")
    for key, value in metadata.labels.items():
        if not is_qualified(key):
            report.bad(f"metadata.labels.{key}", "is not a label's name: [PREFIX/]NAME")
        if not is_label_value(value):
            report.bad(
                f"metadata.labels.{key}", f"{value[:80]!r} is not up to 63 letters, digits, '-', '_' and '.'"
            )
    for key in metadata.annotations:
        if not is_qualified(key):
            report.bad(f"metadata.annotations.{key}", "is not an annotation's name: [PREFIX/]NAME")
    if sum(len(k) + len(v) for k, v in metadata.annotations.items()) > _ANNOTATIONS_LIMIT:
        report.bad("metadata.annotations", "are larger than 256 KiB")
    for field, given in (("finalizers", metadata.finalizers), ("ownerReferences", metadata.owner_references)):
        if given:
            report.unsupported(f"metadata.{field}", "nothing here would act on them")
    if pod.status is not None:
        report.no_effect("status", "it is what the node says, not what it is told")


def _wire(name: str) -> str:
    from lading.formats.pod import PodSpec
    from lading.formats.schema import camel

    return PodSpec._wire.get(name) or camel(name)


def _spec(spec: PodSpec, report: Report) -> None:
    for field, why in NO_EFFECT.items():
        if getattr(spec, field) not in (None, "", [], {}):
            report.no_effect(f"spec.{_wire(field)}", why)
    for field, why in REFUSED.items():
        if getattr(spec, field) not in (None, "", [], {}, False):
            report.unsupported(f"spec.{_wire(field)}", why)
    if isinstance(spec.os, dict):
        if set(spec.os) != {"name"} or spec.os["name"] != "linux":
            report.unsupported("spec.os", "this is Linux")
    elif spec.os is not None:
        report.bad("spec.os", "expected an object")
    report.one_of("spec.restartPolicy", spec.restart_policy, ("Always", "OnFailure", "Never"))
    report.within("spec.terminationGracePeriodSeconds", spec.termination_grace_period_seconds, 0)
    report.within("spec.activeDeadlineSeconds", spec.active_deadline_seconds, 1)
    if spec.hostname:
        report.label("spec.hostname", spec.hostname)
    if spec.hostname_override:
        if not is_subdomain(spec.hostname_override) or len(spec.hostname_override) > 64:
            report.bad(
                "spec.hostnameOverride",
                f"{spec.hostname_override[:80]!r} is not a name of up to 64 characters",
            )
        if spec.host_network:
            report.bad("spec.hostnameOverride", "does not go with hostNetwork")
    if spec.share_process_namespace and spec.host_pid:
        report.bad("spec.shareProcessNamespace", "does not go with hostPID")
    for index, alias in enumerate(spec.host_aliases):
        if not is_address(alias.ip):
            report.bad(f"spec.hostAliases[{index}].ip", f"{alias.ip!r} is not an IP address")
        for number, name in enumerate(alias.hostnames):
            if not is_subdomain(name):
                report.bad(
                    f"spec.hostAliases[{index}].hostnames[{number}]", f"{name[:80]!r} is not a host name"
                )
    report.one_of(
        "spec.dnsPolicy", spec.dns_policy, ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None")
    )
    if spec.dns_policy == "None" and not (spec.dns_config and spec.dns_config.nameservers):
        report.bad("spec.dnsConfig.nameservers", "dnsPolicy None needs at least one")
    if spec.dns_config is not None:
        _dns(spec.dns_config, report)
    if spec.security_context is not None:
        _security(spec, spec.security_context, report)


def _dns(config: DNSConfig, report: Report) -> None:
    if len(config.nameservers) > 3:
        report.bad("spec.dnsConfig.nameservers", "more than 3")
    for index, server in enumerate(config.nameservers):
        if not is_address(server):
            report.bad(f"spec.dnsConfig.nameservers[{index}]", f"{server!r} is not an IP address")
    if len(config.searches) > 32 or sum(len(s) + 1 for s in config.searches) > 2049:
        report.bad("spec.dnsConfig.searches", "more than 32 or longer than 2048 characters")
    for index, domain in enumerate(config.searches):
        if domain != "." and not is_subdomain(domain.removesuffix(".").replace("_", "a")):
            report.bad(f"spec.dnsConfig.searches[{index}]", f"{domain[:80]!r} is not a domain")
    for index, option in enumerate(config.options):
        if not option.name or option.name.split() != [option.name]:
            report.bad(f"spec.dnsConfig.options[{index}].name", "is empty or contains spaces")


def _security(spec: PodSpec, context: PodSecurityContext, report: Report) -> None:
    from lading.node.admission_containers import profiles

    path = "spec.securityContext"
    report.within(f"{path}.runAsUser", context.run_as_user, 0)
    report.within(f"{path}.runAsGroup", context.run_as_group, 0)
    report.within(f"{path}.fsGroup", context.fs_group, 0)
    for index, group in enumerate(context.supplemental_groups):
        report.within(f"{path}.supplementalGroups[{index}]", group, 0)
    if context.run_as_non_root and context.run_as_user == 0:
        report.bad(f"{path}.runAsNonRoot", "true contradicts runAsUser: 0")
    for field, word, words in (
        ("supplementalGroupsPolicy", context.supplemental_groups_policy, ("Merge", "Strict")),
        ("fsGroupChangePolicy", context.fs_group_change_policy, ("Always", "OnRootMismatch")),
    ):
        if word:
            report.one_of(f"{path}.{field}", word, words)
    if context.se_linux_options is not None or context.se_linux_change_policy:
        report.unsupported(f"{path}.seLinuxOptions", "SELinux labels are not set")
    if context.windows_options is not None:
        report.unsupported(f"{path}.windowsOptions")
    profiles(context.seccomp_profile, context.app_armor_profile, path, report)
    _sysctls(spec, context, path, report)


def _sysctls(spec: PodSpec, context: PodSecurityContext, path: str, report: Report) -> None:
    from lading.node.spec import sysctl_namespace

    seen: set[str] = set()
    for index, sysctl in enumerate(context.sysctls):
        here = f"{path}.sysctls[{index}]"
        name = sysctl.name.replace("/", ".")
        body = name.replace(".", "a").replace("-", "a").replace("_", "a")
        if not body.isascii() or not body.isalnum() or len(name) > 253 or ".." in name:
            report.bad(f"{here}.name", f"{sysctl.name[:80]!r} is not the name of a kernel parameter")
            continue
        if name in seen:
            report.bad(f"{here}.name", f"{name!r} is given twice")
        seen.add(name)
        namespace = sysctl_namespace(name)
        if namespace == "network":
            if spec.host_network:
                report.bad(f"{here}.name", f"{name!r} would change the host's network")
        elif namespace == "ipc":
            if spec.host_ipc:
                report.bad(f"{here}.name", f"{name!r} would change the host's IPC")
        else:
            report.bad(f"{here}.name", f"{name!r} belongs to no namespace of the pod")


def _volumes(pod: Pod, report: Report) -> None:
    names: set[str] = set()
    for index, volume in enumerate(pod.spec.volumes):
        path = f"spec.volumes[{index}]"
        if report.label(f"{path}.name", volume.name):
            if volume.name in names:
                report.bad(f"{path}.name", f"{volume.name!r} is given twice")
            names.add(volume.name)
        _sources(pod, volume, path, report)


def _sources(pod: Pod, volume: Volume, path: str, report: Report) -> None:
    from lading.formats.schema import camel
    from lading.node.admission_sources import written

    given = [field for field in volume._fields if field != "name" and getattr(volume, field) is not None]
    if not given:
        report.bad(path, f"no source: for example emptyDir: {{}} (volume {volume.name!r})")
    elif len(given) > 1:
        report.bad(path, f"more than one source (volume {volume.name!r})")
    for field in given:
        here = f"{path}.{volume._wire.get(field) or camel(field)}"
        if field not in VOLUME_SOURCES:
            report.unsupported(
                here,
                _VOLUME_REASONS.get(
                    field,
                    "the sources are emptyDir, hostPath, persistentVolumeClaim (a named volume), configMap, "
                    "secret, downwardAPI and projected",
                ),
            )
    if volume.empty_dir is not None:
        medium = volume.empty_dir.medium
        if medium.startswith("HugePages"):
            report.unsupported(f"{path}.emptyDir.medium", "huge pages cannot be a volume")
        else:
            report.one_of(f"{path}.emptyDir.medium", medium, ("", "Memory"))
        report.within(f"{path}.emptyDir.mode", volume.empty_dir.mode, 0, 0o1777)
        report.within(f"{path}.emptyDir.uid", volume.empty_dir.uid, 0)
        report.within(f"{path}.emptyDir.gid", volume.empty_dir.gid, 0)
        context = pod.spec.security_context
        if volume.empty_dir.gid is not None and context is not None and context.fs_group is not None:
            report.bad(f"{path}.emptyDir.gid", "does not go with securityContext.fsGroup")
        if volume.empty_dir.size_limit is not None:
            _size(volume.empty_dir.size_limit, f"{path}.emptyDir.sizeLimit", report)
            if not medium:
                report.no_effect(f"{path}.emptyDir.sizeLimit", "only medium Memory can be limited")
    if volume.host_path is not None:
        if not volume.host_path.path.startswith("/") or ".." in volume.host_path.path.split("/"):
            report.bad(
                f"{path}.hostPath.path",
                f"{volume.host_path.path[:80]!r} is not an absolute path without '..'",
            )
        report.one_of(f"{path}.hostPath.type", volume.host_path.type, _HOST_PATH_TYPES)
        if volume.host_path.no_follow and volume.host_path.type.endswith("OrCreate"):
            report.bad(f"{path}.hostPath.noFollow", f"does not go with type {volume.host_path.type}")
    claim = volume.persistent_volume_claim
    if claim is not None and not is_subdomain(claim.claim_name):
        report.bad(
            f"{path}.persistentVolumeClaim.claimName",
            f"{claim.claim_name[:80]!r} is not the name of a volume",
        )
    written(pod, volume, path, report)


def _size(text: str | int | float, path: str, report: Report) -> None:
    from lading.formats import quantity

    try:
        if quantity.nanos(text) < 0:
            report.bad(path, f"{text} is negative")
    except InvalidInput as error:
        report.bad(path, str(error))
