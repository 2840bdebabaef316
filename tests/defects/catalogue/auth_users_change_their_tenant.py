"""Users may change their own account, and with it the tenant that stands in their tokens."""

from functools import partial

MODULE = "refstack.auth.sessions"
CATCHES = "isolation/query::no_user_gives_itself_another_tenant"
REASON = "names what it did"


def patch(module):
    routes = module.Sessions.routes

    async def change(self, request):
        claims = self._keys.verify(request.headers["authorization"].partition(" ")[2].strip())
        fields = await module.read_fields(request, ("data", "app_metadata", "user_metadata"))
        changes = {}
        if "app_metadata" in fields:
            changes["raw_app_meta_data"] = fields["app_metadata"]
        user = await self._store.update(module.UUID(claims["sub"]), changes)
        return module.JsonResponse(module.user_body(user))

    def more(self):
        return [*routes(self), module.Route("/user", partial(change, self), methods=["PUT"])]

    module.Sessions.routes = more
