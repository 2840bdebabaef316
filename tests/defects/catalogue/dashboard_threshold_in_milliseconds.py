"""A panel of seconds changes colour at 250, so it never does."""

MODULE = "harness.drivers.grafana"
CATCHES = "monitor/dashboards::the_three_are_there_with_thresholds_at_the_objectives"
REASON = "changes colour at 0.25"


def patch(module):
    original = module.shipped_dashboards

    def changed():
        return {
            name: text.replace('"value": 0.25', '"value": 250') for name, text in original().items()
        }

    module.shipped_dashboards = changed
