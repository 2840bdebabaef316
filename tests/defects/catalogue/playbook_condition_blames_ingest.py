"""The fallback step is called for by a flood of documents, which would flood the fallback too."""

MODULE = "chaos.playbooks.latency"
CATCHES = "playbook/latency::ingest_step_relieves_flooded_embedding"
REASON = "embed-fallback is not called for"


def patch(module):
    module.Embedding.flooded = property(lambda self: False)
