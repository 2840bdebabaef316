"""A release of the gateway renames its request counter, and the rules go silent."""

MODULE = "refstack.gateway.metrics"
CATCHES = "monitor/latency-metric::rules_read_what_is_exported"
REASON = "reads rag_gateway_requests_total, which nothing exports"


def patch(module):
    original = module.Counter

    def renamed(name, *arguments, **settings):
        new = name.replace("rag_gateway_requests_total", "rag_gateway_http_requests_total")
        return original(new, *arguments, **settings)

    module.Counter = renamed
