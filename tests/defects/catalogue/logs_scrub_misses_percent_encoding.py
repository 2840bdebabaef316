"""Scrubbing looks at addresses as they are written in a URL, where none looks like one."""

MODULE = "refstack.logship.scrub"
CATCHES = "logs/no-pii::what_a_careless_service_logs_is_scrubbed"
REASON = "nothing planted"


def patch(module):
    module._MOST_ENCODINGS = 0
