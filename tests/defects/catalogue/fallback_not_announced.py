"""Answers that the fallback embedded look like any other."""

import dataclasses

MODULE = "refstack.gateway.embedding"
CATCHES = "playbook/errors::a_part_that_comes_back_is_used_again[embed]"
REASON = "without embed every answer says so"


def patch(module):
    original = module.Embedder.embed

    async def silent(self, *arguments, **more):
        return dataclasses.replace(await original(self, *arguments, **more), by_fallback=False)

    module.Embedder.embed = silent
