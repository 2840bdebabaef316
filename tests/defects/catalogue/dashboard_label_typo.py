"""A panel groups by a label that the metric does not have."""

MODULE = "harness.drivers.grafana"
CATCHES = "monitor/dashboards::every_panel_shows_data_on_a_live_stack"
REASON = "names the label"


def patch(module):
    original = module.shipped_dashboards

    def changed():
        return {
            name: text.replace("by (upstream)", "by (up_stream)")
            for name, text in original().items()
        }

    module.shipped_dashboards = changed
