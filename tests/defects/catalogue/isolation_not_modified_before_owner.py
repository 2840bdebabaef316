"""A conditional read compares the hash of the text before it looks whose the document is: who
guesses a text learns that the other tenant has it."""

import hashlib
import json

MODULE = "refstack.gateway.routes"
CATCHES = "isolation/side-channels::foreign_and_absent_look_the_same"
REASON = "same for foreign and for absent"


def patch(module):
    known = {}
    write, get = module.Api._write_one, module.Api._get

    async def remembering(self, request, identity, deadline):
        body = await request.body()
        response = await write(self, request, identity, deadline)
        text = json.loads(body)["text"]
        digest = hashlib.sha256(text.encode()).hexdigest()
        known[json.loads(response.body)["document_id"]] = f'"{digest}"'
        return response

    async def conditional(self, request, identity, deadline):
        given = request.headers.get("if-none-match")
        if given and given == known.get(request.path_params["document_id"]):
            return module.Response(status_code=304)
        return await get(self, request, identity, deadline)

    module.Api._write_one, module.Api._get = remembering, conditional
