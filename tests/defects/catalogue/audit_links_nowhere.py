"""The link in the chat names a page that is not there."""

MODULE = "scripts.leakage.page"
CATCHES = "isolation/audit::a_leak_is_reported_to_the_chat_with_a_link"
REASON = "its link opens the report"


def patch(module):
    original = module.link_to
    module.link_to = lambda path, environment: original(path.with_name("leakage.html"), environment)
