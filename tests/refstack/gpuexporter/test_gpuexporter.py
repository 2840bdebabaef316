"""The GPU exporter speaks DCGM's names, and its stand-in says that it is one."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from refstack.gpuexporter.device import Lost, Reading, SourceError
from refstack.gpuexporter.nvml import XID_LOST, Nvml
from refstack.gpuexporter.stand_in import StandIn
from tests.refstack.service_lab import CLIENT, Service, refusal

DCGM = ("GPU_UTIL", "FB_USED", "FB_FREE", "GPU_TEMP", "SM_CLOCK", "XID_ERRORS")


@pytest.fixture(scope="module")
def exporter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, Path]]:
    file = tmp_path_factory.mktemp("gpu") / "device.json"
    service = Service(
        "refstack.gpuexporter", {"GPU_SOURCE": "stand-in", "GPU_STAND_IN_FILE": str(file)}
    )
    service.start()
    yield service, file
    service.end()


def samples(service: Service) -> dict[str, tuple[dict[str, str], float]]:
    text = CLIENT.get(f"{service.url}/metrics").text
    return {
        sample.name: (sample.labels, sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_names_and_labels_are_those_of_dcgm(exporter: tuple[Service, Path]) -> None:
    found = samples(exporter[0])
    for name in DCGM:
        labels, _ = found[f"DCGM_FI_DEV_{name}"]
        assert set(labels) == {"gpu", "UUID", "device", "modelName", "Hostname"}
    assert found["DCGM_FI_DEV_XID_ERRORS"][1] == 0


def test_made_up_figures_are_marked_wherever_one_looks(exporter: tuple[Service, Path]) -> None:
    service, _ = exporter
    found = samples(service)
    assert found["rag_gpu_stand_in"][1] == 1
    assert found["DCGM_FI_DEV_GPU_UTIL"][0]["modelName"] == "ragdrill stand-in"
    assert CLIENT.get(f"{service.url}/healthz").json()["stand_in"] is True


def test_the_file_drives_the_device_at_once(exporter: tuple[Service, Path]) -> None:
    service, file = exporter
    try:
        file.write_text(json.dumps({"utilization": 83.5}))
        assert samples(service)["DCGM_FI_DEV_GPU_UTIL"][1] == 83.5
        file.write_text(json.dumps({"throttled": True}))
        hot = samples(service)
        assert int(hot["DCGM_FI_DEV_CLOCK_THROTTLE_REASONS"][1]) & 0x40
        assert hot["DCGM_FI_DEV_SM_CLOCK"][1] < 1000
        file.write_text(json.dumps({"lost": True}))
        lost = samples(service)
        assert lost["DCGM_FI_DEV_XID_ERRORS"][1] == XID_LOST
        assert "DCGM_FI_DEV_GPU_UTIL" not in lost
        assert (lost["rag_gpu_devices"][1], lost["rag_gpu_lost_devices"][1]) == (0, 1)
    finally:
        file.unlink()
    assert samples(service)["rag_gpu_devices"][1] == 1


@pytest.mark.parametrize("held", ["{", "[]", '{"utilisation": 5}', '{"utilization": 101}'])
def test_a_file_that_is_not_understood_shows_as_unreadable(
    exporter: tuple[Service, Path], held: str
) -> None:
    service, file = exporter
    file.write_text(held)
    try:
        assert samples(service)["rag_gpu_readable"][1] == 0
        assert CLIENT.get(f"{service.url}/readyz").status_code == 503
    finally:
        file.unlink()


def test_the_stand_in_file_may_be_absent(tmp_path: Path) -> None:
    (reading,) = StandIn(tmp_path / "none.json").read()
    assert isinstance(reading, Reading) and reading.free_mib > 0


@pytest.mark.parametrize(
    "settings", [{"GPU_SOURCE": "cuda"}, {"GPU_SOURCE": "stand-in", "GPU_STAND_IN_FILE": ""}]
)
def test_bad_exporter_settings_end_it_with_one_line(settings: dict[str, str]) -> None:
    status, words = refusal("refstack.gpuexporter", settings)
    assert status == 2 and "GPU_S" in words and len(words.splitlines()) == 1


class FakeNvml(SimpleNamespace):
    """NVML as its binding behaves on a machine with one device, which may be lost."""

    class NVMLError(Exception):
        pass

    NVML_TEMPERATURE_GPU = 0
    NVML_CLOCK_SM = 1
    lost = False
    count = 1

    def __getattr__(self, name: str) -> Any:
        answers: dict[str, Any] = {
            "nvmlInit": None,
            "nvmlDeviceGetCount": self.count,
            "nvmlSystemGetDriverVersion": b"570.1",
            "nvmlDeviceGetHandleByIndex": "handle",
            "nvmlDeviceGetUUID": "GPU-1",
            "nvmlDeviceGetName": b"NVIDIA H200",
            "nvmlDeviceGetMemoryInfo": SimpleNamespace(used=2 << 30, free=3 << 30),
            "nvmlDeviceGetUtilizationRates": SimpleNamespace(gpu=71, memory=20),
            "nvmlDeviceGetTemperature": 55,
            "nvmlDeviceGetClockInfo": 1980,
            "nvmlDeviceGetPowerUsage": 350_000,
            "nvmlDeviceGetCurrentClocksThrottleReasons": 0,
        }

        def call(*_: object) -> Any:
            if self.lost and name.startswith("nvmlDeviceGet") and name != "nvmlDeviceGetCount":
                raise self.NVMLError("GPU is lost")
            return answers[name]

        if name not in answers:
            raise AttributeError(name)
        return call


def test_nvml_is_read_in_dcgms_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml())
    source = Nvml()
    (reading,) = source.read()
    assert isinstance(reading, Reading) and not source.stand_in
    assert (reading.used_mib, reading.free_mib, reading.power) == (2048, 3072, 350)
    assert (reading.utilization, reading.sm_clock, reading.model) == (71, 1980, "NVIDIA H200")


def test_a_device_that_falls_off_the_bus_is_told_as_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = FakeNvml()
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    source = Nvml()
    source.read()
    nvml.lost = True
    assert source.read() == [Lost(0, "GPU-1", "NVIDIA H200", XID_LOST)]


def test_a_machine_without_a_device_has_no_nvml_source(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = FakeNvml()
    nvml.count = 0
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    with pytest.raises(SourceError, match="no device"):
        Nvml()
