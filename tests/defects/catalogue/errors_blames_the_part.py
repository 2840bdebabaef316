"""The playbook takes the gateway's word for it that a part is gone, and does not ask that part."""

MODULE = "chaos.playbooks.parts"
CATCHES = (
    "playbook/errors::a_broken_link_calls_for_no_restart"
    "[a vector store that is well, behind a broken link]"
)
REASON = "no restart is called for"


def patch(module):
    original = module.problem_of
    hearsay = ("metadata", "auth", "vectordb")

    def believing(stack, role):
        return module.gateway_says(stack, role) if role in hearsay else original(stack, role)

    module.problem_of = believing
