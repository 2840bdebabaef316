"""Secrets are told by words set apart only, so `accessToken` and `clientSecret` are shipped."""

MODULE = "refstack.logship.scrub"
CATCHES = "logs/no-pii::what_a_careless_service_logs_is_scrubbed"
REASON = "nothing planted.*in camel case"


def patch(module):
    module._ASSIGNED = module.re.compile(
        module._ASSIGNED.pattern.replace(module._INNER, "_|-"), module.re.IGNORECASE
    )
