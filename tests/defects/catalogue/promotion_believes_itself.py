"""The promotion takes every collection for complete, an empty one too."""

MODULE = "scripts.dayops.spaces"
CATCHES = "embed/promote::everything_follows_to_the_new_model_and_back_with_no_failed_request"
REASON = "lacks documents is refused"


def patch(module):
    module.Lack.complete = property(lambda self: True)
