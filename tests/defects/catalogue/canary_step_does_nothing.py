"""The playbook's step says that it took the canary back and leaves it where it is."""

MODULE = "chaos.playbooks.bad_canary"
CATCHES = "playbook/implied::taking_the_canary_back_gives_its_users_their_answers_again"
REASON = "with the step canary-off the trouble ends"


def patch(module):
    from chaos.playbooks.base import Seen

    step = module.BAD_CANARY.step("canary-off")
    object.__setattr__(step, "action", lambda stack: None)
    object.__setattr__(step, "effect", lambda stack: Seen(True))
