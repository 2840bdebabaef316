"""A key in the query of a URL is shipped: `key=` is no word that scrubbing takes for a secret."""

MODULE = "refstack.logship.scrub"
CATCHES = "logs/no-pii::what_a_careless_service_logs_is_scrubbed"
REASON = "nothing planted.*key in a URL"


def patch(module):
    module._IN_QUERY = module.re.compile(r"(?!)()")
