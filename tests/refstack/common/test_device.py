"""A device that is asked for is used or refused; a machine without a GPU never says it has one."""

from __future__ import annotations

from collections.abc import Iterator

import onnxruntime
import pytest
from prometheus_client import CollectorRegistry

from refstack.common import device
from refstack.common.settings import Environment, SettingError

BOTH = {"table": False, "network": True}


@pytest.fixture(autouse=True)
def _asked_anew() -> Iterator[None]:
    device.cuda_problem.cache_clear()
    yield
    device.cuda_problem.cache_clear()


def chosen(asked: str | None, runs_on: dict[str, bool] = BOTH) -> dict[str, str]:
    variables = {} if asked is None else {"EMBED_DEVICE": asked}
    return device.chosen(Environment(variables), "EMBED_DEVICE", runs_on)


def without_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [device.CPU_PROVIDER])


def test_the_cpu_is_taken_unless_another_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "cuda_problem", lambda: "")
    assert set(chosen(None).values()) == {"cpu"} == set(chosen("cpu").values())


def test_cuda_is_for_the_models_that_run_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "cuda_problem", lambda: "")
    for asked in ("cuda", "auto"):
        devices = chosen(asked)
        assert devices == {"table": "cpu", "network": "cuda"}
        assert device.foremost(devices) == "cuda"


def test_auto_goes_on_with_the_cpu_and_cuda_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    without_cuda(monkeypatch)
    assert device.foremost(chosen("auto")) == "cpu"
    with pytest.raises(SettingError) as caught:
        chosen("cuda")
    assert "EMBED_DEVICE holds 'cuda'" in str(caught.value)
    assert "onnxruntime-gpu" in str(caught.value) and "\n" not in str(caught.value)


def test_a_provider_that_is_listed_and_does_not_start_is_no_gpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    listed = [device.CUDA_PROVIDER, device.CPU_PROVIDER]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: listed)

    class OnTheCpu:
        """What onnxruntime gives where CUDA's libraries are missing: no error, and the CPU."""

        def __init__(self, *_: object, **__: object) -> None:
            pass

        def get_providers(self) -> list[str]:
            return [device.CPU_PROVIDER]

    monkeypatch.setattr(onnxruntime, "InferenceSession", OnTheCpu)
    with pytest.raises(SettingError, match="does not start"):
        chosen("cuda")
    assert device.foremost(chosen("auto")) == "cpu"


def test_a_provider_that_fails_with_a_page_of_text_is_told_in_a_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    listed = [device.CUDA_PROVIDER, device.CPU_PROVIDER]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: listed)

    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA failure 100:\nno device is detected ;\n" + "at a file " * 99)

    monkeypatch.setattr(onnxruntime, "InferenceSession", fails)
    with pytest.raises(SettingError, match="no device is detected") as caught:
        chosen("cuda")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_the_probe_runs_for_real(monkeypatch: pytest.MonkeyPatch) -> None:
    # The model of the probe is a valid one: only the provider can make it fail.
    session = onnxruntime.InferenceSession(device._LEAST_MODEL, providers=[device.CPU_PROVIDER])
    assert session.get_providers() == [device.CPU_PROVIDER]


def test_cuda_for_nothing_that_could_use_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "cuda_problem", lambda: "")
    with pytest.raises(SettingError, match="no model here runs on CUDA"):
        chosen("cuda", {"table": False})
    assert chosen("auto", {"table": False}) == {"table": "cpu"}


def test_where_each_model_runs_is_exported() -> None:
    registry = CollectorRegistry()
    device.export(registry, "rag_x_device_info", {"table": "cpu", "network": "cuda"})
    labels = {"model": "network", "device": "cuda"}
    assert registry.get_sample_value("rag_x_device_info", labels) == 1
    assert registry.get_sample_value("rag_x_device_info", {**labels, "device": "cpu"}) is None
