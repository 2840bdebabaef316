"""Scrubbing knows addresses of plain letters only; names and domains with umlauts stay."""

MODULE = "refstack.logship.scrub"
CATCHES = "logs/no-pii::what_a_careless_service_logs_is_scrubbed"
REASON = "nothing planted.*umlauts"


def patch(module):
    module._EMAIL = module.re.compile(module._EMAIL.pattern, module.re.IGNORECASE | module.re.ASCII)
