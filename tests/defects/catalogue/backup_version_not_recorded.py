"""The backup records the version of its own client in place of the server's."""

MODULE = "scripts.dayops.vectorstore"
CATCHES = "backup/version-recorded::a_backup_records_what_its_restore_needs"
REASON = "vector store's version is recorded"


def patch(module):
    original = module.VectorStore.server

    def server(self):
        found = original(self)
        return module.Server(found.software, module.httpx.__version__, found.commit)

    module.VectorStore.server = server
