"""The configuration that a container keeps."""

from __future__ import annotations

import json

import pytest

from lading.formats.jsontext import dumps
from lading.formats.oci_runtime import Linux, Namespace, Root, Seccomp, Spec, Syscall
from lading.runtime import filters
from lading.runtime.config import text_of


@pytest.mark.parametrize("linux", [Linux(), Linux(namespaces=[Namespace(type="pid")])])
def test_a_profile_put_in_as_text_is_the_profile(linux: Linux) -> None:
    linux.seccomp = Seccomp(default_action="SCMP_ACT_ALLOW", syscalls=[Syscall(names=["é"], action="x")])
    spec = Spec(oci_version="1.2.0", root=Root(path="r"), linux=linux)
    assert json.loads(text_of(spec, dumps(linux.seccomp.encode()))) == spec.encode()
    assert json.loads(text_of(spec)) == spec.encode()
    assert spec.linux is linux and linux.seccomp is not None


def test_a_configuration_without_linux_has_no_profile() -> None:
    spec = Spec(oci_version="1.2.0")
    assert json.loads(text_of(spec, "{}")) == {"ociVersion": "1.2.0"}


def test_only_a_named_profile_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filters, "_named", {})
    monkeypatch.setattr(filters, "_compiled", lambda profile, text, cache: text.encode())
    profile = Seccomp(default_action="SCMP_ACT_ALLOW")
    first = filters.prepare(profile, "/nowhere")
    profile.default_action = "SCMP_ACT_ERRNO"
    assert filters.prepare(profile, "/nowhere").text != first.text
    assert filters.prepare(profile, "/nowhere", "p") is filters.prepare(profile, "/nowhere", "p")
