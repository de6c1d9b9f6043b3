"""What does not go with users of its own (``hostUsers: false``): Kubernetes' rules, and what a user namespace cannot do.

Source: KEP-127, "Exceptions"; core/v1 PodSpec.hostUsers; user_namespaces(7).
"""

from __future__ import annotations

from lading.node.admission_report import Report
from lading.node.idranges import SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.formats.pod import Container, Pod, PodSpec

_WHY = "does not go with hostUsers: false"


def check(pod: Pod, report: Report) -> None:
    """Every field that does not go with them."""
    spec = pod.spec
    for field, given in (
        ("hostNetwork", spec.host_network),
        ("hostPID", spec.host_pid),
        ("hostIPC", spec.host_ipc),
    ):
        if given:
            report.bad(f"spec.{field}", f"{_WHY}: the host's belongs to the host's root")
    _namespaces(spec, report)
    context = spec.security_context
    if context is not None:
        path = "spec.securityContext"
        _id(f"{path}.runAsUser", context.run_as_user, report)
        _id(f"{path}.runAsGroup", context.run_as_group, report)
        _id(f"{path}.fsGroup", context.fs_group, report)
        for index, group in enumerate(context.supplemental_groups):
            _id(f"{path}.supplementalGroups[{index}]", group, report)
    for index, volume in enumerate(spec.volumes):
        if volume.empty_dir is not None:
            _id(f"spec.volumes[{index}].emptyDir.uid", volume.empty_dir.uid, report)
            _id(f"spec.volumes[{index}].emptyDir.gid", volume.empty_dir.gid, report)
    for name, listed in (("initContainers", spec.init_containers), ("containers", spec.containers)):
        for index, container in enumerate(listed):
            _container(container, f"spec.{name}[{index}]", report)


def _namespaces(spec: PodSpec, report: Report) -> None:
    extras = spec.extras
    if extras.runtime:
        report.unsupported(
            "spec.x-lading.runtime", f"{_WHY}: a foreign runtime cannot show layers with other ids"
        )
    if extras.pod:
        return  # it joins those of the pod that it lives in, which have its users
    for field, mode in (
        ("networkMode", extras.network_mode),
        ("ipcMode", extras.ipc_mode),
        ("pidMode", extras.pid_mode),
        ("utsMode", extras.uts_mode),
    ):
        hosts = {"networkMode": spec.host_network, "pidMode": spec.host_pid, "ipcMode": spec.host_ipc}
        if mode.startswith(("container:", "ns:")) or (mode == "host" and not hosts.get(field)):
            report.bad(f"spec.x-lading.{field}", f"{mode[:80]!r} {_WHY}: it belongs to somebody else's root")


def _container(container: Container, path: str, report: Report) -> None:
    context = container.security_context
    if context is not None:
        if context.privileged:
            report.bad(
                f"{path}.securityContext.privileged",
                f"{_WHY}: root of a user namespace has no power over the host's devices",
            )
        _id(f"{path}.securityContext.runAsUser", context.run_as_user, report)
        _id(f"{path}.securityContext.runAsGroup", context.run_as_group, report)
    for index, mount in enumerate(container.volume_mounts):
        if mount.mount_propagation == "Bidirectional":
            report.bad(f"{path}.volumeMounts[{index}].mountPropagation", f"Bidirectional {_WHY}")
    for bind in container.extras.mounts:
        if bind.propagation in ("shared", "rshared"):
            report.bad(f"{path}.x-lading.mounts", f"propagation {bind.propagation} of {bind.target} {_WHY}")
    if container.extras.cgroupns == "host":
        report.bad(
            f"{path}.x-lading.cgroupns", f"'host' {_WHY}: the host's control groups are the host's root's"
        )


def _id(path: str, number: int | None, report: Report) -> None:
    if number is not None and number >= SIZE:
        report.bad(path, f"{number} is beyond the {SIZE} users of a pod with hostUsers: false")
