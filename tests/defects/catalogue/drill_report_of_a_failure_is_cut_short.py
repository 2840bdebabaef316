"""The report of a drill that failed ends with the discrepancies: nobody has to sign it."""

MODULE = "reports.drill_pages"
CATCHES = "recovery/rto::a_drill_that_fails_tells_what_happened_and_as_much_as_any_other"
REASON = "has every section"


def patch(module):
    for name in ("_compared", "_components", "_sign_off"):
        original = getattr(module, name)

        def short(drill, original=original):
            return original(drill) if drill.verdict is module.Verdict.PASS else []

        setattr(module, name, short)
