"""The bucket alert divides the room by what is used, and so fires for an empty bucket only."""

MODULE = "harness.drivers.embedded.rules"
CATCHES = "capacity/storage::a_bucket_at_70_percent_alerts"
REASON = "RAG_Backup_Bucket_Filling.*69.9"


def patch(module):
    original = module.shipped_rules

    def upside_down():
        texts = original()
        used, room = "rag_backup_bucket_used_bytes", "rag_backup_bucket_capacity_bytes"
        text = texts["capacity.yml"].replace(used, "X").replace(room, used).replace("X", room)
        texts["capacity.yml"] = text
        return texts

    module.shipped_rules = upside_down
