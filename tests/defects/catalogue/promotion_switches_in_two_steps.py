"""The alias is taken from one collection and given to the other a moment later: in between it leads
nowhere."""

import time

MODULE = "scripts.dayops.vectorstore"
CATCHES = "embed/promote::everything_follows_to_the_new_model_and_back_with_no_failed_request"
REASON = "no query failed|no write was refused"


def patch(module):
    original = module.VectorStore._call

    def one_by_one(self, method, path, **more):
        actions = (more.get("json") or {}).get("actions", ())
        if len(actions) < 2:
            return original(self, method, path, **more)
        for action in actions:
            done = original(self, method, path, json={"actions": [action]})
            # Longer than a gateway may take the alias as known.
            time.sleep(2.5)
        return done

    module.VectorStore._call = one_by_one
