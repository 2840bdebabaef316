"""The page shows the first few leaked points and is silent about the others."""

MODULE = "scripts.leakage.auditing"
CATCHES = "isolation/audit::a_leak_is_reported_to_the_chat_with_a_link"
REASON = "page names each"


def patch(module):
    module.SHOWN = 5
