"""The unit tests of the backup rules were emptied, and so pass whatever the rules say."""

MODULE = "harness.drivers.embedded.rules"
CATCHES = "monitor/alert-delivered::every_rule_fires_when_it_must_by_its_unit_tests"
REASON = "nobody would notice.*RAG_Backup_Too_Old"


def patch(module):
    original = module.shipped_rule_tests

    def vacuous():
        texts = original()
        head, _, _ = texts["backup_test.yml"].partition("tests:\n")
        texts["backup_test.yml"] = head + "tests: []\n"
        return texts

    module.shipped_rule_tests = vacuous
