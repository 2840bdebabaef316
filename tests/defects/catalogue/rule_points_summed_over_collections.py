"""The points alert adds up all collections, so two of nine million each count as eighteen."""

MODULE = "harness.drivers.embedded.rules"
CATCHES = "capacity/vectors::15_million_points_alert"
REASON = "two collections of 9 million"


def patch(module):
    original = module.shipped_rules

    def summed():
        texts = original()
        texts["capacity.yml"] = texts["capacity.yml"].replace(
            "max by (collection) (rag_vectordb_points)", "sum(rag_vectordb_points)"
        )
        return texts

    module.shipped_rules = summed
