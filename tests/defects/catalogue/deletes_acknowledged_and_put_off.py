"""The gateway acknowledges a deletion and carries it out later, unless a store is away then."""

import asyncio

MODULE = "refstack.gateway.routes"
CATCHES = "durability/acknowledged::acknowledged_documents_survive_the_loss_of_both_stores"
REASON = r"acknowledged writes.*[1-9]\d* resurrected"
LATER_S = 3.0


def patch(module):
    tasks = set()

    async def hasty(self, request, identity, deadline):
        document_id = module._document_id(request)
        if await self._catalogue.get(identity, document_id, deadline) is None:
            raise module._no_such_document()

        async def later():
            await asyncio.sleep(LATER_S)
            try:
                await self._ingest.delete(identity, document_id, module.Deadline(self._timeout_s))
            except Exception:  # what the defect does: nobody is told
                return

        task = asyncio.create_task(later())
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        return module.Response(status_code=204)

    module.Api._delete = hasty
