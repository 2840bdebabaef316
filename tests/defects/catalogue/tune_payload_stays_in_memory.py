"""The vector store takes the change of where payloads lie, shows it, and leaves them in memory."""

MODULE = "refstack.vectordb.worker.engine_config"
CATCHES = "tune/on-disk-payload::payloads_on_the_disk_take_less_memory_and_answer_alike"
REASON = "takes less memory"


def patch(module):
    original = module.edge.EdgeConfig

    def in_memory(**given):
        given["on_disk_payload"] = False
        return original(**given)

    class Engine:
        EdgeConfig = staticmethod(in_memory)

        def __getattr__(self, name):
            return getattr(engine, name)

    engine = module.edge
    module.edge = Engine()
