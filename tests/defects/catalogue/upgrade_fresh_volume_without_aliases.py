"""The collections are brought into the fresh volume, and the aliases are forgotten."""

MODULE = "scripts.dayops.vectorstore"
CATCHES = "upgrade/major-by-snapshot::an_upgrade_into_a_fresh_volume_keeps_content_and_answers"
REASON = "the upgrade ends well"


def patch(module):
    module.VectorStore.set_aliases = lambda self, wanted: None
