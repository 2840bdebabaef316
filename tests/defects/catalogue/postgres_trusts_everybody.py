"""PostgreSQL lets anybody on this machine in without a password."""

MODULE = "harness.drivers.embedded.postgres"
CATCHES = "security/no-default-secret::metadata_store_needs_a_password"
REASON = "opens to"


def patch(module):
    original = module.Cluster.prepare

    def trusting(self):
        original(self)
        (self.data / "pg_hba.conf").write_text("host all all 127.0.0.1/32 trust\n")

    module.Cluster.prepare = trusting
