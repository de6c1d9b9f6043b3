"""What an image says about a container's life."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from lading.errors import InvalidInput
from lading.formats.oci_image import Healthcheck as ImageCheck
from lading.formats.oci_image import RunConfig
from lading.formats.pod import Container, ContainerExtras, Healthcheck
from lading.node import prepare


def _image(**config: object) -> Any:
    return SimpleNamespace(config=SimpleNamespace(config=RunConfig(**config)))


@pytest.mark.parametrize("signal", ["99999", "0", "-9", "SIG\x1b[2J", "NOSUCH"])
def test_an_image_with_a_stop_signal_that_does_not_exist_is_refused(signal: str) -> None:
    """Its keeper met it only when it was to stop, and ended there, with whatever else it kept."""
    container = Container(name="main", image="odd:1")
    with pytest.raises(InvalidInput, match=r"image 'odd:1': its StopSignal: signal '[^\x1b]*' is unknown"):
        prepare._from_image(container, _image(stop_signal=signal))


@pytest.mark.parametrize("signal", ["SIGQUIT", "quit", "3", "SIGRTMIN+3"])
def test_a_signal_of_the_image_is_taken(signal: str) -> None:
    container = Container(name="main", image="good:1")
    prepare._from_image(container, _image(stop_signal=signal))
    assert container.extras.stop_signal == signal


def test_who_chooses_a_signal_need_not_mind_the_image() -> None:
    container = Container(name="main", image="odd:1", extras=ContainerExtras(stop_signal="SIGINT"))
    prepare._from_image(container, _image(stop_signal="99999"))
    assert container.extras.stop_signal == "SIGINT"


@pytest.mark.parametrize("field", ["interval", "timeout", "start_period", "start_interval"])
@pytest.mark.parametrize("value", [1, 999_999, -1])
def test_an_image_does_not_keep_its_keeper_busy_with_checks(field: str, value: int) -> None:
    container = Container(name="main", image="odd:1")
    check = ImageCheck(test=["CMD", "true"], **{field: value})
    with pytest.raises(InvalidInput, match=f"image 'odd:1': the {field} of its health check, {value} ns"):
        prepare._from_image(container, _image(healthcheck=check))


def test_who_chooses_an_interval_need_not_mind_the_image() -> None:
    own = Healthcheck(interval=7.0)
    container = Container(name="main", image="odd:1", extras=ContainerExtras(healthcheck=own))
    check = ImageCheck(test=["CMD", "true"], interval=1, timeout=2_000_000_000)
    prepare._from_image(container, _image(healthcheck=check))
    made = container.extras.healthcheck
    assert made is not None and (made.interval, made.timeout) == (7.0, 2.0)
