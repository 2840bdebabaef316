"""The upgrade ends the old version first and takes its backup from the new one."""

MODULE = "scripts.dayops.upgrade_qdrant"
CATCHES = "upgrade/minor-in-place::a_minor_upgrade_in_place_keeps_content_and_answers"
REASON = "a backup was taken before the old version was ended"


def patch(module):
    back_up, put_new = module.Upgrade._back_up, module.Upgrade._put_new

    def put_then_back_up(self, journal):
        put_new(self, journal)
        back_up(self, journal)

    module.Upgrade._back_up = lambda self, journal: None
    module.Upgrade._put_new = put_then_back_up
