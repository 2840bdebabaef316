"""The leakage playbook calls for a purge whatever the audit found."""

MODULE = "chaos.playbooks.leakage"
CATCHES = "playbook/leakage::without_a_leak_nothing_is_purged"
REASON = "nothing calls for a purge"


def patch(module):
    from chaos.playbooks.base import Seen

    step = module.LEAKAGE.step("purge")
    object.__setattr__(step, "condition", lambda stack: Seen(True, {"leaks": "not looked"}))
