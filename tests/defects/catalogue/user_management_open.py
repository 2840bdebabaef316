"""User management asks for no service key."""

MODULE = "refstack.auth.admin"
CATCHES = "security/no-default-secret::user_management_needs_the_service_key"
REASON = "missing or default"


def patch(module):
    for name in dir(module):
        held = getattr(module, name)
        if isinstance(held, type) and "_authorise" in vars(held):
            held._authorise = lambda self, request: None
