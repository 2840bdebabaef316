"""Scrubbing takes an address from its plus sign on, and leaves the name before it."""

MODULE = "refstack.logship.scrub"
CATCHES = "logs/no-pii::what_a_careless_service_logs_is_scrubbed"
REASON = "nothing planted.*plus sign"


def patch(module):
    module._EMAIL = module.re.compile(
        rf"[\w.-]{{1,64}}{module._AT}(?:[^\W_](?:[\w-]*[^\W_])?\.)+[^\W\d_]{{2,}}"
    )
