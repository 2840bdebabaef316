"""Where models run: the CPU, or CUDA through onnxruntime, and why CUDA can't be had."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Gauge

from refstack.common.logs import get_logger
from refstack.common.settings import Environment, SettingError

CPU, CUDA = "cpu", "cuda"
DEVICES = ("auto", CPU, CUDA)
CUDA_PROVIDER = "CUDAExecutionProvider"
CPU_PROVIDER = "CPUExecutionProvider"

# `y = x + x` over one float, ONNX opset 17: the least that makes a provider load its libraries.
_LEAST_MODEL = bytes.fromhex(
    "08083a350a0e0a01780a017812017922034164641201675a0f0a0178120a0a08080112040a020801620f0a017912"
    "0a0a08080112040a02080142040a001011"
)


@functools.cache
def cuda_problem() -> str:
    """Why a model can't run on CUDA in this process, or an empty string when it can."""
    import onnxruntime

    if CUDA_PROVIDER not in onnxruntime.get_available_providers():
        return "this onnxruntime was built without CUDA, onnxruntime-gpu has it (docs/gpu.md)"
    options = onnxruntime.SessionOptions()
    # What it would print of a missing library takes a screen; the reason below takes a line.
    options.log_severity_level = 4
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            session = onnxruntime.InferenceSession(
                _LEAST_MODEL, sess_options=options, providers=[CUDA_PROVIDER]
            )
    except Exception as error:
        return f"its CUDA provider does not start ({' '.join(str(error).split())[:160]})"
    # Where CUDA's libraries can't be loaded, onnxruntime goes on with the CPU and raises nothing:
    # figures would be told of a GPU that was never used.
    if CUDA_PROVIDER not in session.get_providers():
        return "its CUDA provider does not start; check the driver, CUDA's libraries and cuDNN"
    return ""


def chosen(environment: Environment, variable: str, runs_on: Mapping[str, bool]) -> dict[str, str]:
    """Return the device of each model; ``runs_on`` says which models CUDA can be used for.

    ``variable`` holds ``cpu`` (the default), ``cuda``, or ``auto`` for CUDA where it can be had. A
    model of another kind stays on the CPU beside one that is on CUDA.

    Raises:
        SettingError: it holds ``cuda``, and no model could run there.
    """
    asked = environment.choice(variable, DEVICES, CPU)
    devices = dict.fromkeys(runs_on, CPU)
    if asked == CPU:
        return devices
    problem = f"no model here runs on CUDA ({', '.join(runs_on)} is a table of vectors)"
    if any(runs_on.values()):
        problem = cuda_problem()
    if problem and asked == CUDA:
        raise SettingError(variable, asked, f"cpu or auto here: {problem}")
    if problem:
        get_logger().info("device", device=CPU, asked=asked, reason=problem)
        return devices
    return {name: CUDA if able else CPU for name, able in runs_on.items()}


def foremost(devices: Mapping[str, str]) -> str:
    """Return ``cuda`` if any model runs there, else ``cpu``."""
    return CUDA if CUDA in devices.values() else CPU


def export(registry: CollectorRegistry, name: str, devices: Mapping[str, str]) -> None:
    """Add the gauge ``name`` (``{model, device}``, always 1) that says where each model runs."""
    gauge = Gauge(name, "Where each model runs", ["model", "device"], registry=registry)
    for model, device in devices.items():
        gauge.labels(model, device).set(1)
