"""The log store takes a request without a tenant for one of a default tenant."""

MODULE = "refstack.logstore.app"
CATCHES = "logs/routing::the_stores_have_tenants_of_their_own"
REASON = "without naming a tenant"


def patch(module):
    module._tenant = lambda request: request.headers.get("x-scope-orgid", "") or "fake"
