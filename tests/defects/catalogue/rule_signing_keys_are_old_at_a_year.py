"""The alert on the age of keys counts 365 days for signing keys."""

MODULE = "harness.drivers.embedded.rules"
CATCHES = "security/key-age::the_alert_fires_after_its_days_and_not_before"
REASON = "kind jwt is reported once it is 90 days old"


def patch(module):
    original = module.shipped_rules

    def patient():
        texts = original()
        texts["security.yml"] = texts["security.yml"].replace("> 90 * 86400", "> 365 * 86400")
        return texts

    module.shipped_rules = patient
