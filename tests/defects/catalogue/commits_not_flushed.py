"""PostgreSQL answers a commit before its log is on the disk."""

MODULE = "harness.drivers.embedded.postgres"
CATCHES = "durability/acknowledged::acknowledged_documents_survive_a_kill[metadata]"
REASON = "acknowledged writes.*lost"


def patch(module):
    original = module.Cluster.prepare

    def careless(self):
        original(self)
        with (self.data / "postgresql.conf").open("a") as file:
            file.write("synchronous_commit = off\nwal_writer_delay = 1s\n")
            file.write("wal_writer_flush_after = 1GB\n")

    module.Cluster.prepare = careless
