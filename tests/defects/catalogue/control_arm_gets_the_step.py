"""The control arm is given the step too, so it shows nothing."""

MODULE = "fixtures.remedy"
CATCHES = "playbook/implied::taking_the_canary_back_gives_its_users_their_answers_again"
REASON = "healed by itself.*without the step the trouble ended too"
VERDICT = "inconclusive"


def patch(module):
    original = module.Remedy._hold

    def helped(self, seconds, arm, playbook, step, trouble, onlooker):
        step.action(self.stack)
        return original(self, seconds, arm, playbook, step, trouble, onlooker)

    module.Remedy._hold = helped
