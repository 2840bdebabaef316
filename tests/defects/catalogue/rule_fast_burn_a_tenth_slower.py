"""The fast burn is told at sixteen times the budget instead of at 14.4."""

MODULE = "harness.drivers.embedded.rules"
CATCHES = "monitor/alert-delivered::every_rule_fires_when_it_must_by_its_unit_tests"
REASON = "shipped unit tests pass.*RAG_Error_Budget_Burn_Fast"


def patch(module):
    original = module.shipped_rules

    def slower():
        texts = original()
        texts["availability.yml"] = texts["availability.yml"].replace("14.4 * 0.005", "16 * 0.005")
        return texts

    module.shipped_rules = slower
