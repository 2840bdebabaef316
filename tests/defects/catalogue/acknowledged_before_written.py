"""The gateway acknowledges a document and writes it afterwards."""

import asyncio

MODULE = "refstack.gateway.routes"
CATCHES = "durability/acknowledged::acknowledged_documents_survive_a_kill[gateway]"
REASON = "acknowledged writes.*lost"


def patch(module):
    tasks = set()

    async def hasty(self, request, identity, deadline):
        document = await module._parsed(request, module.DocumentRequest, module.DOCUMENT_BYTES)
        module._require_persona(identity, document.persona)

        async def later():
            await asyncio.sleep(0.3)
            await self._ingest.write(identity, [document], module.Deadline(self._timeout_s))

        # As slow as an honest answer, so that the stores keep up with what is written behind it.
        await asyncio.sleep(0.05)
        task = asyncio.create_task(later())
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        written = module.DocumentWritten(
            document_id=document.document_id, chunks=1, embed_model="wordllama-256"
        )
        return module._json(written, 201)

    module.Api._write_one = hasty
