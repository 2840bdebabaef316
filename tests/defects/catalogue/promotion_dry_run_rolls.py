"""A dry run of a promotion has the gateway write to both collections already."""

MODULE = "scripts.dayops.promote_model"
CATCHES = "embed/promote::a_dry_run_of_a_promotion_changes_nothing"
REASON = "nothing has changed"


def patch(module):
    original = module.Promotion._plan

    def eager(self, model):
        original(self, model)
        self.write_both(self.behind, model)

    module.Promotion._plan = eager
