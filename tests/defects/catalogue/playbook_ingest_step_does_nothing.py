"""The step that scales ingest down says that it did and leaves all as it was."""

MODULE = "chaos.playbooks.latency"
CATCHES = "playbook/latency::ingest_step_relieves_flooded_embedding"
REASON = "ingest-down has the effect"


def patch(module):
    step = module.LATENCY.step("ingest-down")
    object.__setattr__(step, "action", lambda stack: None)
    object.__setattr__(step, "undo", lambda stack: None)
