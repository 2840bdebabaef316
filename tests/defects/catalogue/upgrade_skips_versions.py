"""The upgrade goes to any version that it is told, however many lie in between."""

MODULE = "scripts.dayops.upgrade_path"
CATCHES = "upgrade/major-by-snapshot::an_upgrade_into_a_fresh_volume_keeps_content_and_answers"
REASON = "two minors on .* is refused"


def patch(module):
    module.refuse_path = lambda now, to, *, fresh, last_minor: None
