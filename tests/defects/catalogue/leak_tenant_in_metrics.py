"""Queries are counted by tenant, in a label that whoever reads the metrics sees."""

MODULE = "refstack.gateway.routes"
CATCHES = "isolation/side-channels::logs_and_metrics_tell_no_content"
REASON = "no content in the logs"


def patch(module):
    from prometheus_client import Counter

    counters = {}
    original = module.Api._query

    async def counted(self, request, identity, deadline):
        if "it" not in counters:
            counters["it"] = Counter(
                "rag_gateway_tenant_queries_total",
                "Queries by tenant.",
                ["tenant"],
                registry=self._metrics.registry,
            )
        counters["it"].labels(identity.tenant_id).inc()
        return await original(self, request, identity, deadline)

    module.Api._query = counted
