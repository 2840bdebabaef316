"""The exporter as a service: it reads the devices whenever it is asked."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.applications import Starlette
from starlette.types import ASGIApp

from refstack.common.context import RequestContext
from refstack.common.health import service_routes
from refstack.common.problems import EXCEPTION_HANDLERS
from refstack.common.settings import Environment, SettingError
from refstack.gpuexporter.device import Lost, Reading, Source, SourceError
from refstack.gpuexporter.nvml import Nvml
from refstack.gpuexporter.stand_in import StandIn

SOURCES = ("auto", "nvml", "stand-in")
_LABELS = ("gpu", "UUID", "device", "modelName", "Hostname")
_FAMILIES = (
    ("DCGM_FI_DEV_GPU_UTIL", "GPU utilization (in %).", "utilization"),
    ("DCGM_FI_DEV_MEM_COPY_UTIL", "Memory utilization (in %).", "copy_utilization"),
    ("DCGM_FI_DEV_FB_USED", "Framebuffer memory used (in MiB).", "used_mib"),
    ("DCGM_FI_DEV_FB_FREE", "Framebuffer memory free (in MiB).", "free_mib"),
    ("DCGM_FI_DEV_GPU_TEMP", "GPU temperature (in C).", "temperature"),
    ("DCGM_FI_DEV_SM_CLOCK", "SM clock frequency (in MHz).", "sm_clock"),
    ("DCGM_FI_DEV_POWER_USAGE", "Power draw (in W).", "power"),
    ("DCGM_FI_DEV_CLOCK_THROTTLE_REASONS", "Current clock throttle reasons (bitmask).", "throttle"),
    ("DCGM_FI_DEV_XID_ERRORS", "Value of the last XID error encountered.", "xid"),
)
"""Names and meaning as in DCGM's field identifiers and its exporter's counter list."""


class Devices(Collector):
    """Makes the families of one scrape; a lost device keeps its error and loses its figures."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._host = socket.gethostname()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """One family for each figure, and how the exporter itself is doing."""
        devices: list[Reading | Lost] = []
        readable = 1.0
        try:
            devices = self._source.read()
        except SourceError:
            readable = 0.0
        yield from self._families(devices)
        # Our own, beside DCGM's: without them "no GPU", "GPU lost" and "made up" look alike.
        yield _gauge("rag_gpu_readable", "1 while the devices can be read.", readable)
        lost = sum(isinstance(device, Lost) for device in devices)
        yield _gauge("rag_gpu_devices", "Devices that answer.", len(devices) - lost)
        yield _gauge("rag_gpu_lost_devices", "Devices that answered once and are lost.", lost)
        yield _gauge(
            "rag_gpu_stand_in", "1 where the figures are made up.", float(self._source.stand_in)
        )

    def _families(self, devices: Iterable[Reading | Lost]) -> Iterator[GaugeMetricFamily]:
        held = list(devices)
        for name, text, field in _FAMILIES:
            family = GaugeMetricFamily(name, text, labels=_LABELS)
            for device in held:
                if isinstance(device, Reading) or field == "xid":
                    family.add_metric(self._labels(device), float(getattr(device, field)))
            yield family

    def _labels(self, device: Reading | Lost) -> list[str]:
        name = f"nvidia{device.index}"
        return [str(device.index), device.uuid, name, device.model, self._host]


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=value)


def source_of(environment: Environment) -> Source:
    """NVML where it works, else the stand-in, unless `GPU_SOURCE` says which.

    Raises SettingError where NVML is demanded and cannot be had.
    """
    wanted = environment.choice("GPU_SOURCE", SOURCES, "auto")
    if wanted != "stand-in":
        try:
            return Nvml()
        except SourceError as error:
            if wanted == "nvml":
                raise SettingError(
                    "GPU_SOURCE", wanted, f"stand-in or auto here ({error})"
                ) from None
    file = environment.text("GPU_STAND_IN_FILE", expected="the path of a file, there or not")
    return StandIn(Path(file))


def build(environment: Environment) -> ASGIApp:
    """The service from its settings; raises SettingError."""
    source = source_of(environment)
    registry = CollectorRegistry()
    registry.register(Devices(source))

    async def ready() -> dict[str, str | None]:
        try:
            source.read()
        except SourceError as error:
            return {"devices": str(error)}
        return {"devices": None}

    facts = {"stand_in": source.stand_in, "software": source.software}
    app = Starlette(
        routes=service_routes("gpuexporter", registry, ready, **facts),
        exception_handlers=EXCEPTION_HANDLERS,
    )
    return RequestContext(app, lambda route, method, status, seconds: None)
