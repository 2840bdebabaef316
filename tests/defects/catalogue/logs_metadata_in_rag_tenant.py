"""The metadata store's log, with its users' names, is shipped to the rag tenant."""

MODULE = "refstack.logship.routes"
CATCHES = "logs/routing::the_stores_have_tenants_of_their_own"
REASON = "in the tenant metadata"


def patch(module):
    original = module.destination

    def changed(process):
        if process == "metadata":
            return module._to(module.RAG, "metadata", "metadata", process)
        return original(process)

    module.destination = changed
