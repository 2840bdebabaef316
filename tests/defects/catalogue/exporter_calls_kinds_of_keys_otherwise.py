"""The exporter calls signing keys `signing`, while the rule asks for those of the kind `jwt`."""

MODULE = "refstack.opsexporter.app"
CATCHES = "monitor/latency-metric::rules_read_what_is_exported"
REASON = "with kind=jwt, of which there is only api, signing"


def patch(module):
    read = module.Keys.read

    def renamed(self):
        return [
            type(sample)(
                sample.family,
                sample.value,
                tuple("signing" if label == "jwt" else label for label in sample.labels),
            )
            for sample in read(self)
        ]

    module.Keys.read = renamed
