"""The fault goes away by itself soon after its alert, with and without the playbook."""

import threading

MODULE = "chaos.faults.link_fault"
CATCHES = "playbook/latency::fallback_ends_slow_embedding"
REASON = "healed by itself"
VERDICT = "inconclusive"


def patch(module):
    original = module.LinkFault.inject

    def short(self, stack):
        original(self, stack)
        timer = threading.Timer(14.5, lambda: self.heal(stack))
        timer.daemon = True
        timer.start()

    module.LinkFault.inject = short
