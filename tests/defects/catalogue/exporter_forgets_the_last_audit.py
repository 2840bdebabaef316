"""While an audit is under way the exporter shows no leaks, so each audit during an incident ends its
alert, and whoever is on call believes that it is over."""

MODULE = "refstack.opsexporter.audit"
CATCHES = "playbook/leakage::the_alert_of_a_leak_ends_with_the_purge"
REASON = "without the purge another audit leaves it firing"


def patch(module):
    original = module.Audit.read

    def forgetful(self):
        return original(self) if self._report.exists() else []

    module.Audit.read = forgetful
