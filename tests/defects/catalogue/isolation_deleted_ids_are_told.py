"""A document that was deleted is 410 to whoever asks for its id, of any tenant."""

MODULE = "refstack.gateway.routes"
CATCHES = "isolation/side-channels::foreign_and_absent_look_the_same"
REASON = "same for foreign and for absent"


def patch(module):
    gone = set()
    get, delete = module.Api._get, module.Api._delete

    async def remembering(self, request, identity, deadline):
        response = await delete(self, request, identity, deadline)
        gone.add(request.path_params["document_id"])
        return response

    async def telling(self, request, identity, deadline):
        try:
            return await get(self, request, identity, deadline)
        except module.Problem as problem:
            if problem.status == 404 and request.path_params["document_id"] in gone:
                raise module.Problem(410, "This document was deleted.") from None
            raise

    module.Api._get, module.Api._delete = telling, remembering
