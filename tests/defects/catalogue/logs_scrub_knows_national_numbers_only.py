"""Scrubbing knows phone numbers as they are dialled at home, and none with a country's code."""

MODULE = "refstack.logship.scrub"
CATCHES = "logs/no-pii::what_a_careless_service_logs_is_scrubbed"
REASON = "nothing planted.*British phone number"


def patch(module):
    module._PHONES = module._PHONES[3:]
