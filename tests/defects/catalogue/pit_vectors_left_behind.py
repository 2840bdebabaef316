"""The command that is to bring the vector store to the documents' moment does nothing."""

MODULE = "fixtures.writers"
CATCHES = "recovery/point-in-time::both_stores_come_back_as_of_a_moment"
REASON = "restore ends well.*do not agree"


def patch(module):
    original = module.operator_commands
    module.operator_commands = lambda stack: {**original(stack), "REINDEX_CMD": "true"}
