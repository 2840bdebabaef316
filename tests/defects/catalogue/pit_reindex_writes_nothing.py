"""After the recovery the vector store is never brought to the documents' moment."""

MODULE = "refstack.gateway.reindex"
CATCHES = "recovery/point-in-time::both_stores_come_back_as_of_a_moment"
REASON = "restore ends well.*do not agree"


def patch(module):
    module.Reindex.write_all = lambda self: 0
