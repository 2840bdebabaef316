"""The dry run of the retention prune lists by a condition of its own, a day off the real one."""

MODULE = "scripts.retention.plan"
CATCHES = "maintain/retention-dry-run::a_dry_run_names_what_a_run_removes_and_changes_nothing"
REASON = "it names the documents that are due"


def patch(module):
    module.LISTED = module.LISTED.replace(
        "coalesce(own.cutoff, %(cutoff)s)",
        "coalesce(own.cutoff, %(cutoff)s) + interval '3 days'",
    )
