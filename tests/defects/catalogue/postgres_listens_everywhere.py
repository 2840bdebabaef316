"""PostgreSQL listens on every interface of the host."""

MODULE = "harness.drivers.embedded.postgres"
CATCHES = "security/no-default-secret::nothing_listens_beyond_this_host"
REASON = "outside addresses"


def patch(module):
    module._SETTINGS["listen_addresses"] = "*"
