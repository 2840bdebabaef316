"""The restore ends without the index that keeps tenants apart."""

MODULE = "scripts.dayops.restore_dr"
CATCHES = "recovery/rto::service_answers_correctly_within_the_objective"
REASON = "configuration, indexes"


def patch(module):
    original = module.Restore.switch

    def careless(self, found, live):
        original(self, found, live)
        for name in self.vectors.collections():
            self.vectors._call("DELETE", f"/collections/{name}/index/tenant_id?wait=true")

    module.Restore.switch = careless
