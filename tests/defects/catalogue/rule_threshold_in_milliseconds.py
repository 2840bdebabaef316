"""The latency rule compares seconds with a threshold in milliseconds, and so never fires."""

MODULE = "harness.drivers.embedded.rules"
CATCHES = "monitor/latency-rule::its_unit_tests_pass_and_would_notice"
REASON = "shipped unit tests pass.*RAG_P95_Latency_High"


def patch(module):
    original = module.shipped_rules

    def milliseconds():
        texts = original()
        texts["latency.yml"] = texts["latency.yml"].replace("> 0.25\n", "> 250\n")
        return texts

    module.shipped_rules = milliseconds
