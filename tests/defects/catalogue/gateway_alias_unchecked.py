"""The gateway searches whatever collection the alias points at, with the vectors of its own model
cut or filled up to the dimension that is asked for there."""

MODULE = ["refstack.gateway.spaces", "refstack.gateway.vectors"]
CATCHES = "embed/no-mixed-space::an_alias_that_points_at_another_model_is_refused"
REASON = "answered from its own model's space"


def patch(module):
    if module.__name__.endswith("vectors"):
        original = module.VectorStore.search

        async def resized(self, collection, vector, **more):
            size = 384 if collection.endswith("384") else 256
            vector = (list(vector) + [0.0] * size)[:size]
            return await original(self, collection, vector, **more)

        module.VectorStore.search = resized
        return
    stable = module.Spaces.stable

    async def believing(self, deadline, *, fresh=False):
        try:
            return await stable(self, deadline, fresh=fresh)
        except module.Problem:
            return module.Space(self._known[0].model, self._target)

    module.Spaces.stable = believing
