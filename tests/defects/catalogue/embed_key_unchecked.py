"""The embedding worker looks whether a key is there and not which one."""

MODULE = "refstack.embed.app"
CATCHES = "security/no-default-secret::workers_need_their_key[embed]"
REASON = "missing or default"


def patch(module):
    def lenient(self, request):
        if not request.headers.get("authorization"):
            raise module.ApiError(401, "A key is needed.")

    module.Worker._authorise = lenient
