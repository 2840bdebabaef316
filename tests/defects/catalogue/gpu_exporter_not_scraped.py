"""Prometheus was never told of the GPU exporter."""

MODULE = "harness.drivers.embedded.metrics"
CATCHES = "monitor/gpu-figures::figures_carry_the_names_labels_and_units_of_dcgm"
REASON = "DCGM_FI_DEV_GPU_UTIL is exported"


def patch(module):
    original = module._render

    def forgetful(folder, template, scale, **values):
        if "jobs" in values:
            values["jobs"] = [job for job in values["jobs"] if job["name"] != "gpu"]
        return original(folder, template, scale, **values)

    module._render = forgetful
