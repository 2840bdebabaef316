"""The GPU exporter writes its labels in lower case, so that DCGM's dashboards find none."""

MODULE = "refstack.gpuexporter.app"
CATCHES = "monitor/gpu-figures::figures_carry_the_names_labels_and_units_of_dcgm"
REASON = "with DCGM's labels"


def patch(module):
    module._LABELS = tuple(label.lower() for label in module._LABELS)
