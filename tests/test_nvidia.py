"""What the GPU says of itself, asked without torch."""

from types import SimpleNamespace
from typing import Any

import pytest

from training import nvidia


def library(*, known: bool = True, tells: bool = True, load: int = 87) -> SimpleNamespace:
    """NVML as its two calls are used here: 0 is success, what was asked for is written into the last argument."""

    def handle_by_uuid(uuid: bytes, handle: Any) -> int:
        assert uuid == b"GPU-1234"
        return 0 if known else 6

    def utilization(handle: Any, found: Any) -> int:
        found._obj.gpu = load
        return 0 if tells else 3

    return SimpleNamespace(nvmlDeviceGetHandleByUUID=handle_by_uuid, nvmlDeviceGetUtilizationRates=utilization)


@pytest.mark.parametrize(
    ("found", "load"),
    [
        (library(), 0.87),
        (library(load=120), 1.0),
        (library(known=False), None),
        (library(tells=False), None),
        (None, None),
    ],
)
def test_the_load_is_a_share_and_nothing_where_it_cannot_be_asked(
    monkeypatch: pytest.MonkeyPatch, found: SimpleNamespace | None, load: float | None
) -> None:
    monkeypatch.setattr(nvidia, "_nvml", lambda: found)
    assert nvidia.gpu_load("1234") == load


def test_a_machine_without_the_driver_has_no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr(nvidia.ctypes, "CDLL", missing)
    nvidia._nvml.cache_clear()
    assert nvidia.gpu_load("1234") is None
    nvidia._nvml.cache_clear()
