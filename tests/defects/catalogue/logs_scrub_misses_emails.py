"""Scrubbing knows e-mail addresses of two parts only, and lets longer ones through."""

MODULE = "refstack.logship.scrub"
CATCHES = "logs/no-pii::what_a_careless_service_logs_is_scrubbed"
REASON = "nothing planted"


def patch(module):
    module._EMAIL = module.re.compile(r"\b[a-z]+@[a-z]+\.[a-z]+\b")
