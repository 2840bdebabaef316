"""A write is acknowledged with 200 where every client of the version waits for 201."""

MODULE = "refstack.gateway.routes"
CATCHES = "api/semver::an_older_client_is_served_as_it_was"
REASON = "as an older client knows it"


def patch(module):
    original = module._json

    def always_ok(model, status=200, headers=None):
        return original(model, 200, headers)

    module._json = always_ok
