"""A deprecated route says that it is deprecated and not until when it works."""

MODULE = "refstack.gateway.deprecations"
CATCHES = "api/deprecation::what_is_deprecated_says_so_in_headers_and_schema"
REASON = "says that it is deprecated"


def patch(module):
    original = module.Deprecation.headers

    def without_end(self, parameters):
        headers = original(self, parameters)
        del headers["Sunset"]
        return headers

    module.Deprecation.headers = without_end
