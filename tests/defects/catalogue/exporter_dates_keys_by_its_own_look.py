"""The exporter dates every key by when it read the register, so that none ever grows old."""

MODULE = "refstack.opsexporter.keys"
CATCHES = "security/key-age::keys_beyond_their_age_are_reported_and_no_other"
REASON = "tells it truly"


def patch(module):
    import time

    module._moment = lambda text: time.time()
