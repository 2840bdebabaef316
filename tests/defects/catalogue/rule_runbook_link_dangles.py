"""The leakage alert links to a section of the runbook that was renamed."""

MODULE = "harness.drivers.embedded.rules"
CATCHES = "monitor/runbook-link::every_link_resolves"
REASON = "RAG_Leakage_Found.*#namespace-leakage"


def patch(module):
    original = module.shipped_rules

    def renamed():
        texts = original()
        texts["security.yml"] = texts["security.yml"].replace("#leakage", "#namespace-leakage")
        return texts

    module.shipped_rules = renamed
