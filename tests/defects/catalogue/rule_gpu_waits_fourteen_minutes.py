"""The GPU alert waits 14 minutes instead of 15."""

MODULE = "harness.drivers.embedded.rules"
CATCHES = "capacity/gpu::gpu_above_80_percent_for_15_minutes_alerts"
REASON = "RAG_GPU_Busy"


def patch(module):
    original = module.shipped_rules

    def early():
        texts = original()
        texts["capacity.yml"] = texts["capacity.yml"].replace("for: 15m", "for: 14m")
        return texts

    module.shipped_rules = early
