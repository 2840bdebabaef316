"""The gateway reads how many writes it may serve at a time and does not keep to it."""

MODULE = "refstack.gateway.routes"
CATCHES = "playbook/latency::ingest_step_relieves_flooded_embedding"
REASON = "ingest-down has the effect"


def patch(module):
    original = module.Api.__init__

    def unlimited(self, *arguments):
        original(self, *arguments[:-1], 4096)

    module.Api.__init__ = unlimited
