"""The error ratio asks for the label `code`, which the gateway's counter does not have."""

MODULE = "harness.drivers.embedded.rules"
CATCHES = "monitor/latency-metric::rules_read_what_is_exported"
REASON = "names the label code of rag_gateway_requests_total"


def patch(module):
    original = module.shipped_rules

    def misspelt():
        texts = original()
        texts["availability.yml"] = texts["availability.yml"].replace("status=~", "code=~")
        return texts

    module.shipped_rules = misspelt
