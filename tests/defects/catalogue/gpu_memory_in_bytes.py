"""The GPU exporter tells memory in bytes where DCGM tells MiB."""

MODULE = "refstack.gpuexporter.stand_in"
CATCHES = "monitor/gpu-figures::figures_carry_the_names_labels_and_units_of_dcgm"
REASON = "DCGM_FI_DEV_FB_USED"


def patch(module):
    module.MEMORY_MIB *= 1 << 20
    module.IDLE_USED_MIB *= 1 << 20
