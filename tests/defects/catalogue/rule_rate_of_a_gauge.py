"""The queue alert takes the rate of a gauge, which is nonsense whenever the queue shrinks."""

MODULE = "harness.drivers.embedded.rules"
CATCHES = "monitor/latency-metric::rules_read_what_is_exported"
REASON = "takes the rate of rag_ops_queue_length, which is a gauge"


def patch(module):
    original = module.shipped_rules

    def rated():
        texts = original()
        texts["roles.yml"] = texts["roles.yml"].replace(
            "deriv(rag_ops_queue_length[30m])", "rate(rag_ops_queue_length[30m])"
        )
        return texts

    module.shipped_rules = rated
