"""Taking an upgrade back days later drops what was written since, without a word."""

MODULE = "scripts.dayops.upgrade_qdrant"
CATCHES = "upgrade/way-back::what_was_written_since_an_upgrade_is_not_lost_without_a_word"
REASON = "a document was written since"


def patch(module):
    module.Upgrade._refuse_loss = lambda self, journal, document: None
