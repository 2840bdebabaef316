"""Prometheus drops the reasons of a lower clock, to save series: heat passes for load."""

MODULE = "harness.drivers.embedded.metrics"
CATCHES = "monitor/gpu-figures::a_throttled_device_is_told_from_a_busy_one"
REASON = "reason of the lower clock is seen"


def patch(module):
    original = module._render

    def thrifty(folder, template, scale, **values):
        return original(folder, template, scale, **values).replace(
            "  - job_name: gpu\n",
            "  - job_name: gpu\n"
            "    metric_relabel_configs:\n"
            "      - source_labels: [__name__]\n"
            "        regex: DCGM_FI_DEV_CLOCK_.*\n"
            "        action: drop\n",
        )

    module._render = thrifty
