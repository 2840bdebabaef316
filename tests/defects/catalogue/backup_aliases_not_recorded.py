"""The backup records no aliases, which no snapshot holds either."""

MODULE = "scripts.dayops.vectorstore"
CATCHES = "backup/version-recorded::a_backup_records_what_its_restore_needs"
REASON = "aliases are recorded"


def patch(module):
    module.VectorStore.aliases = lambda self: {}
