"""Scrubbing looks at the fields of a log line and not into lists within them."""

MODULE = "refstack.logship.scrub"
CATCHES = "logs/no-pii::what_a_careless_service_logs_is_scrubbed"
REASON = "nothing planted"


def patch(module):
    original = module.Scrubber._value

    def shallow(self, value, depth):
        return value if isinstance(value, list) else original(self, value, depth)

    module.Scrubber._value = shallow
