"""The playbook's purge runs as a dry run and calls what it would have removed removed."""

import dataclasses

MODULE = "chaos.playbooks.leakage"
CATCHES = "playbook/leakage::the_leak_is_found_purged_and_reported_as_it_was"
REASON = "no leaked vector is left"


def patch(module):
    original = module.run_script

    def dry(stack, name, *arguments, **more):
        if name != "leakage_purge.py":
            return original(stack, name, *arguments, **more)
        ended = original(stack, name, *arguments, "--dry-run", **more)
        return dataclasses.replace(ended, exit_code=module.CLEAN)

    module.run_script = dry
