"""The retention prune removes points from one model's collection, and not from former ones."""

MODULE = "scripts.retention.pruning"
CATCHES = "maintain/retention-prune::what_is_older_goes_from_both_stores_and_nothing_younger"
REASON = "no point of theirs is left"


def patch(module):
    original = module.Vectors.collections
    module.Vectors.collections = lambda self: [
        name for name in original(self) if name.endswith("wordllama-256")
    ]
