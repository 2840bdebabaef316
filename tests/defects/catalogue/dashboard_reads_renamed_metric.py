"""The gateway renames a metric, and the panel goes on asking for the old name."""

MODULE = "refstack.gateway.metrics"
CATCHES = "monitor/dashboards::every_panel_shows_data_on_a_live_stack"
REASON = "which nothing exports"


def patch(module):
    histogram = module.Histogram

    def renamed(name, *arguments, **more):
        return histogram(name.replace("upstream_latency", "upstream_duration"), *arguments, **more)

    module.Histogram = renamed
