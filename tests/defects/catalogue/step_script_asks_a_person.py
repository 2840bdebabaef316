"""The purge asks whether one is sure as soon as it starts: with nobody at the terminal, as in a
playbook that runs unattended, it does nothing at all."""

MODULE = "scripts.leakage.telling"
CATCHES = "philosophy/step-has-script::what_runs_a_step_of_the_guide_is_there_and_needs_nobody"
REASON = "leakage_purge.py runs it"


def patch(module):
    original = module.Parser.__init__

    def sure(self, name, *arguments):
        if name == "leakage_purge.py":
            input("This removes data. Are you sure? ")
        original(self, name, *arguments)

    module.Parser.__init__ = sure
