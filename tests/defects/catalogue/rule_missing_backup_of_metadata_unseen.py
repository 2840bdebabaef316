"""Only the vector store's backups are missed; the age of no backup at all alerts nobody."""

MODULE = "harness.drivers.embedded.rules"
CATCHES = "monitor/alert-delivered::every_rule_fires_when_it_must_by_its_unit_tests"
REASON = "shipped unit tests pass.*RAG_Backup_Missing"


def patch(module):
    original = module.shipped_rules
    absent = 'absent(rag_backup_last_success_timestamp_seconds{store="%s"})'

    def forgetful():
        texts = original()
        both = f"({absent % 'vectordb'} or {absent % 'metadata'})"
        texts["backup.yml"] = texts["backup.yml"].replace(both, absent % "vectordb")
        return texts

    module.shipped_rules = forgetful
