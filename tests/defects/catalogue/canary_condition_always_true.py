"""The playbook calls for taking the canary back whether there is one or not."""

MODULE = "chaos.playbooks.bad_canary"
CATCHES = "playbook/implied::taking_the_canary_back_gives_its_users_their_answers_again"
REASON = "while all is well, the step canary-off is not called for"


def patch(module):
    from chaos.playbooks.base import Seen

    step = module.BAD_CANARY.step("canary-off")
    object.__setattr__(step, "condition", lambda stack: Seen(True, {"canary": "surely"}))
