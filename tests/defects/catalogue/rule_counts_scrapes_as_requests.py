"""The error ratio counts what probes and scrapes are told, which thins the users' errors out."""

MODULE = "harness.drivers.embedded.rules"
CATCHES = "monitor/alert-delivered::every_rule_fires_when_it_must_by_its_unit_tests"
REASON = "shipped unit tests pass.*RAG_5xx_Ratio_High"


def patch(module):
    original = module.shipped_rules

    def all_routes():
        texts = original()
        text = texts["availability.yml"].replace('route=~"/v1/.+", ', "")
        texts["availability.yml"] = text.replace('{route=~"/v1/.+"}', "")
        return texts

    module.shipped_rules = all_routes
