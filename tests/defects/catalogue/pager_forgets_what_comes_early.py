"""The receiver answers 200 from its first moment on, and keeps nothing until it is warm."""

import time

MODULE = "refstack.pager.app"
CATCHES = "monitor/alert-delivered::a_receiver_that_is_down_is_tried_again"
REASON = "arrives although its receiver was down"
WARM_S = 60.0


def patch(module):
    started = time.monotonic()
    append = module.Journal.append

    def warm_only(self, entry):
        if time.monotonic() - started > WARM_S:
            append(self, entry)

    module.Journal.append = warm_only
