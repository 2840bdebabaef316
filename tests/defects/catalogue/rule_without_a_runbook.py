"""The archive alert tells nobody what to do: its runbook link was dropped."""

MODULE = "harness.drivers.embedded.rules"
CATCHES = "monitor/alert-delivered::every_rule_says_what_whom_and_where"
REASON = "RAG_WAL_Archive_Failing: annotations"


def patch(module):
    original = module.shipped_rules

    def without():
        texts = original()
        before, mark, after = texts["backup.yml"].partition("RAG_WAL_Archive_Failing")
        link = "          runbook: docs/runbook.md#backup-too-old\n"
        texts["backup.yml"] = before + mark + after.replace(link, "", 1)
        return texts

    module.shipped_rules = without
