"""The alert summary goes on with nothing where no server answers: it looks like a quiet night."""

MODULE = "scripts.dayops.alert_history"
CATCHES = "maintain/alert-summary::says_when_it_could_not_ask"
REASON = "prints no summary"


def patch(module):
    original = module.ask

    def forgiving(base, path, query):
        try:
            return original(base, path, query)
        except module.TargetError:
            return [] if path.startswith("/api/v2/") else {"data": {"result": [], "groups": []}}

    module.ask = forgiving
