"""Nobody is told when the log shipper is in no scrape configuration any more."""

MODULE = "harness.drivers.embedded.rules"
CATCHES = "monitor/alert-delivered::every_job_that_is_scraped_is_missed_when_it_goes"
REASON = "missed when it goes.*logship"


def patch(module):
    original = module.shipped_rules

    def forgetful():
        texts = original()
        texts["roles.yml"] = texts["roles.yml"].replace(' or absent(up{job="logship"})', "")
        return texts

    module.shipped_rules = forgetful
