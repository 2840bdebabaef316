"""A variable asks for a label that is gone, so every panel below it is empty."""

MODULE = "harness.drivers.grafana"
CATCHES = "monitor/dashboards::every_panel_shows_data_on_a_live_stack"
REASON = "every variable has values"


def patch(module):
    original = module.shipped_dashboards

    def changed():
        return {
            name: text.replace(
                "label_values(rag_vectordb_points, collection)",
                "label_values(collections_points, collection)",
            )
            for name, text in original().items()
        }

    module.shipped_dashboards = changed
