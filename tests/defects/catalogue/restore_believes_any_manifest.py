"""A manifest is believed whatever was changed in it since it was written."""

MODULE = "scripts.dayops.manifest"
CATCHES = "recovery/partial-backup::what_is_no_backup_for_this_place_is_refused"
REASON = "edited: the restore is refused"


def patch(module):
    original = module.read_manifest

    def trusting(bucket, run):
        data = bucket.read(run.key(module.NAME))
        if data is None:
            return original(bucket, run)
        document = module.json.loads(data)
        # Whatever it says of itself is what it is held against.
        bucket_like = type("Told", (), {"read": lambda self, key: _sealed(module, document)})()
        return original(bucket_like, run)

    def _sealed(module, document):
        return module.json.dumps({**document, "seal": module.seal(document)}).encode()

    module.read_manifest = trusting
