"""The list says in a header how many documents there are, and counts those of all tenants."""

MODULE = "refstack.gateway.routes"
CATCHES = "isolation/side-channels::what_others_write_moves_nothing"
REASON = "whatever others hold"


def patch(module):
    total = [0]
    batch, listed = module.Api._write_batch, module.Api._list

    async def counting(self, request, identity, deadline):
        response = await batch(self, request, identity, deadline)
        total[0] += 1
        return response

    async def telling(self, request, identity, deadline):
        response = await listed(self, request, identity, deadline)
        response.headers["X-Total-Count"] = str(total[0])
        return response

    module.Api._write_batch, module.Api._list = counting, telling
