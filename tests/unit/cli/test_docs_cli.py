"""The reference pages say what the program does."""

from __future__ import annotations

from pathlib import Path

from lading.cli.reference import markdown
from lading.formats.pod import Container, PodSpec
from lading.formats.podvolumes import Volume
from lading.formats.schema import _wire_names
from lading.node import admission

DOCS = Path(__file__).parents[3] / "docs"


def test_the_reference_of_commands_is_the_programs_own_table() -> None:
    assert (DOCS / "cli.md").read_text() == markdown(), "run: python -m lading.cli.reference > docs/cli.md"


def test_the_table_of_pod_fields_names_every_field() -> None:
    page = (DOCS / "kubernetes-pods.md").read_text()
    for record in (PodSpec, Container, Volume):
        for _, wire in _wire_names(record):
            assert f"`{wire}`" in page, f"{record.__name__}.{wire}"


def test_the_table_of_pod_fields_says_what_admission_does() -> None:
    page = (DOCS / "kubernetes-pods.md").read_text().splitlines()
    names = dict(_wire_names(PodSpec))
    for field in admission.NO_EFFECT:
        assert any(f"`{names[field]}`" in line and "no effect" in line for line in page), field
    for field in admission.REFUSED:
        assert any(f"`{names[field]}`" in line and "refused" in line for line in page), field
