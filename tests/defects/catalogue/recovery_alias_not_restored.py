"""The restore forgets the alias behind which the gateway looks for its collection."""

MODULE = "scripts.dayops.vectorstore"
CATCHES = "recovery/rto::service_answers_correctly_within_the_objective"
REASON = "restore ends well.*alias"


def patch(module):
    module.VectorStore.set_aliases = lambda self, wanted: None
