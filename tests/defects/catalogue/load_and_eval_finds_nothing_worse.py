"""The monthly comparison looks at verdicts alone: a figure that is much worse is not named."""

MODULE = "harness.cli.load_and_eval"
CATCHES = "maintain/load-and-eval::one_command_measures_keeps_and_says_what_got_worse"
REASON = "exactly what is worse"


def patch(module):
    def verdicts_only(found):
        return [change.what for change in found.verdicts if change.worse]

    module.what_got_worse = verdicts_only
