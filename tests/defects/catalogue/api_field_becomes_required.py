"""A field of the question that older clients leave out is required from one release to the next."""

MODULE = "refstack.gateway.openapi"
CATCHES = "api/semver::the_description_breaks_no_older_client"
REASON = "breaks a client.*top_k"


def patch(module):
    original = module.document

    def stricter():
        described = original()
        described["components"]["schemas"]["v1.QueryRequest"]["required"].append("top_k")
        return described

    module.document = stricter
