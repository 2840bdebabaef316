"""The gateway no longer looks at which model a provider's vectors are from: a fallback that has
another model answers questions from the wrong space."""

MODULE = "refstack.gateway.embedding"
CATCHES = (
    "embed/no-mixed-space::vectors_of_another_space_are_never_searched_with"
    "[the fallback answers from another model]"
)
REASON = "answered from its own model's space"


def patch(module):
    original = module.vectors_of

    def trusting(answer, upstream, model, count):
        if isinstance(answer, dict):
            answer["model"] = model
        return original(answer, upstream, model, count)

    module.vectors_of = trusting
