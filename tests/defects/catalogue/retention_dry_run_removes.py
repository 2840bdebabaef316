"""The dry run of the retention prune takes what it lists out of the metadata store."""

MODULE = "scripts.retention.plan"
CATCHES = "maintain/retention-dry-run::a_dry_run_names_what_a_run_removes_and_changes_nothing"
REASON = "a dry run changes nothing"


def patch(module):
    original = module.Metadata.listed

    def listing(self, policy):
        found = list(original(self, policy))
        for each in found:
            self.connection.execute(
                "DELETE FROM public.documents WHERE tenant_id = %s AND document_id = %s",
                (each.tenant, each.document),
            )
        return iter(found)

    module.Metadata.listed = listing
