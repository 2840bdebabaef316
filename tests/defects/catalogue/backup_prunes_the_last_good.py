"""The prune goes by age alone, and takes the last good backup along."""

MODULE = "scripts.dayops.prune"
CATCHES = "maintain/snapshot-nightly::pruning_keeps_the_last_good_backup_and_what_it_needs"
REASON = "the last good backup stays"


def patch(module):
    original = module.prune

    def by_age(bucket, store, policy, log):
        complete = list(module.manifest.complete_runs(bucket, store))
        keep = module.kept(complete, policy, module.datetime.now(module.UTC))
        for run in complete:
            if run not in keep:
                bucket.remove([each.key for each in bucket.objects(f"{run.id}/")])
        return original(bucket, store, policy, log)

    module.prune = by_age
