"""The backup puts its manifest into the bucket first, so that an interrupted one looks whole."""

MODULE = "scripts.dayops.backup_qdrant"
CATCHES = "recovery/partial-backup::an_interrupted_backup_never_looks_whole"
REASON = "no backup looks whole"


def patch(module):
    original = module.Backup.take

    def hasty(self):
        early = module.manifest.begin(self.run, {"software": "qdrant", "version": "1.19.0"})
        early.update(collections=[], aliases={}, objects=[])
        self.bucket.put_json(self.run.key(module.NAME), module.manifest.finish(early), self.work)
        return original(self)

    module.Backup.take = hasty
