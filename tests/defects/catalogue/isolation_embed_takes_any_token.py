"""The embedding worker wants a bearer token and takes any, a customer's own among them."""

MODULE = "refstack.embed.app"
CATCHES = "isolation/query::inner_services_give_a_customer_nothing[embed]"
REASON = "calls is refused.*as bearer: 200"


def patch(module):
    def lenient(self, request):
        scheme, _, offered = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not offered.strip():
            raise module.ApiError(401, "A token is needed.")

    module.Worker._authorise = lenient
