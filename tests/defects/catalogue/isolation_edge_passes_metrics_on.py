"""The edge's rule that keeps the metrics inside got lost, so a request hidden in another one
brings them out."""

MODULE = "harness.drivers.embedded.nginx"
CATCHES = "isolation/query::smuggled_requests_reach_nothing"
REASON = "meant for monitoring alone"


def patch(module):
    render = module.Edge.render
    module.Edge.render = lambda self, port: render(self, port).replace(
        "location = /metrics {", "location = /metrics-of-the-edge {"
    )
