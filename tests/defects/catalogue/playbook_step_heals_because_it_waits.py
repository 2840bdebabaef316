"""The fallback step does nothing but wait, and the fault is over before the wait is."""

import threading
import time

MODULE = ["chaos.playbooks.latency", "chaos.faults.link_fault"]
CATCHES = "playbook/latency::fallback_ends_slow_embedding"
REASON = "healed by itself.*when the arm ended"
VERDICT = "inconclusive"


def patch(module):
    if module.__name__ == "chaos.faults.link_fault":
        original = module.LinkFault.inject

        def passing(self, stack):
            original(self, stack)
            timer = threading.Timer(20.0, lambda: self.heal(stack))
            timer.daemon = True
            timer.start()

        module.LinkFault.inject = passing
        return
    from chaos.playbooks.base import Seen

    step = module.LATENCY.step("embed-fallback")
    object.__setattr__(step, "action", lambda stack: time.sleep(10.0))
    object.__setattr__(step, "effect", lambda stack: Seen(True))
    object.__setattr__(step, "undo", lambda stack: None)
