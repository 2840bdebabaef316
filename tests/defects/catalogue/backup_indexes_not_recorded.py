"""The backup records the vectors' configuration and leaves out the payload indexes."""

MODULE = "scripts.dayops.backup_qdrant"
CATCHES = "backup/version-recorded::a_backup_records_what_its_restore_needs"
REASON = "payload_schema of .* is recorded"


def patch(module):
    original = module.configuration
    module.configuration = lambda reader: {
        key: value for key, value in original(reader).items() if key != "payload_schema"
    }
