"""Readings of real devices through NVML (`nvidia-ml-py`, the extra `gpu`)."""

from __future__ import annotations

import importlib
from typing import Any

from refstack.gpuexporter.device import MIB, Lost, Reading, SourceError

# NVML reports errors as events; 79 ("the GPU has fallen off the bus") is the only one that can be
# concluded from the calls themselves (NVIDIA, "Xid Errors").
XID_LOST = 79


class Nvml:
    """The devices of this machine. Raises SourceError where there is no NVML or no device."""

    stand_in = False

    def __init__(self) -> None:
        try:
            # By name: the package (the extra `gpu`) is called otherwise, and seldom there.
            pynvml: Any = importlib.import_module("pynvml")
        except ImportError as error:
            raise SourceError(
                "nvidia-ml-py is not installed (pip install ragdrill[gpu])"
            ) from error
        self._nvml = pynvml
        try:
            pynvml.nvmlInit()
            count = pynvml.nvmlDeviceGetCount()
            driver = _text(pynvml.nvmlSystemGetDriverVersion())
        except pynvml.NVMLError as error:
            raise SourceError(f"NVML: {error}") from error
        if count == 0:
            raise SourceError("NVML knows no device")
        self.software = f"NVML, driver {driver}"
        self._known: dict[int, tuple[str, str]] = {}
        self._count = count
        self._gone: set[int] = set()

    def read(self) -> list[Reading | Lost]:
        """All devices; one that answered before and is lost now is told as such."""
        return [self._device(index) for index in range(self._count)]

    def _device(self, index: int) -> Reading | Lost:
        nvml = self._nvml
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            uuid = _text(nvml.nvmlDeviceGetUUID(handle))
            model = _text(nvml.nvmlDeviceGetName(handle))
            self._known[index] = (uuid, model)
            used = nvml.nvmlDeviceGetMemoryInfo(handle)
            rates = nvml.nvmlDeviceGetUtilizationRates(handle)
            return Reading(
                index=index,
                uuid=uuid,
                model=model,
                utilization=rates.gpu,
                copy_utilization=rates.memory,
                used_mib=used.used / MIB,
                free_mib=used.free / MIB,
                temperature=nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU),
                sm_clock=nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM),
                power=self._power(handle),
                throttle=nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle),
                xid=XID_LOST if index in self._gone else 0,
            )
        except nvml.NVMLError as error:
            if index not in self._known:
                raise SourceError(f"device {index}: {error}") from error
            self._gone.add(index)
            uuid, model = self._known[index]
            return Lost(index, uuid, model, XID_LOST)

    def _power(self, handle: Any) -> float:
        try:
            return float(self._nvml.nvmlDeviceGetPowerUsage(handle)) / 1000
        except self._nvml.NVMLError:
            # Some boards do not measure it.
            return float("nan")


def _text(held: str | bytes) -> str:
    return held.decode() if isinstance(held, bytes) else held
