"""playbook/implied: what the vector store has lost comes back by the restore, whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from qdrant_client import QdrantClient, models

from chaos.playbooks import Seen
from chaos.playbooks.failed_restore import FAILED_RESTORE
from chaos.playbooks.failed_upgrade import FAILED_UPGRADE
from fixtures.bucket import taken
from fixtures.remedy import Remedy, Trouble
from fixtures.scripts import RunScript
from fixtures.stores import ALIAS
from fixtures.tenants import Connect, Tenant
from harness import conformance, needs
from harness.checks.collection import Collection
from harness.checks.digest import digest
from harness.core.errors import TargetError
from harness.drivers.base import Stack

ROLES = ["edge", "auth", "vectordb", "objectstore", "metadata", "metrics"]


class Store:
    """The vector store with one customer's document in it, and a backup of all."""

    def __init__(
        self,
        stack: Stack,
        vectordb: QdrantClient,
        run_script: RunScript,
        tenant: Tenant,
        connect: Connect,
    ) -> None:
        self._stack, self._vectordb, self._run_script = stack, vectordb, run_script
        self._tenant, self._gateway = tenant, connect(tenant.token)
        self._gateway.put_document("work", "The lamp is lit at dusk.", document_id="lamp").expect(
            201
        )
        self._day = taken(run_script("backup_qdrant.sh"))[: len("yyyy-mm-dd")]
        aliases = vectordb.get_aliases().aliases
        (self.collection,) = [a.collection_name for a in aliases if a.alias_name == ALIAS]

    def look(self) -> Seen:
        """Whether the customer finds the document."""
        answer = self._gateway.query("When is the lamp lit?", "work")
        rows = answer.json["results"] if answer.status == 200 else []
        found = [row["document_id"] for row in rows]
        return Seen("lamp" in found, {"status": answer.status, "found": found})

    def kept(self) -> dict[str, object]:
        """The content behind the alias: how many points, and the digest of them all."""
        key = self._stack.credentials("vectordb")["api_key"]
        with Collection(self._stack.endpoint("vectordb").url, ALIAS, api_key=key) as collection:
            content = digest(collection)
        return {"points": content.count, "content": content.total}

    def lose_points(self) -> None:
        """Remove the customer's points past the gateway."""
        mine = models.FieldCondition(
            key="tenant_id", match=models.MatchValue(value=self._tenant.id)
        )
        chosen = models.FilterSelector(filter=models.Filter(must=[mine]))
        self._vectordb.delete(self.collection, chosen, wait=True)

    def lose_all(self) -> None:
        """Remove what the alias points at."""
        self._vectordb.delete_collection(self.collection)

    @contextmanager
    def losing(self, lose: Callable[[], None]) -> Iterator[None]:
        """Lose something for the length of the block; bring it back unless somebody has."""
        lose()
        try:
            yield
        finally:
            if not self.look().ok:
                ran = self._run_script(
                    "restore_dr.sh", "--date", self._day, "--store", "vectordb", timeout_s=300
                )
                if ran.exit_code != 0:
                    raise TargetError(
                        "The vector store could not be brought back.",
                        expected="exit code 0",
                        actual=ran.told,
                    )

    def trouble(self, what: str, lose: Callable[[], None]) -> Trouble:
        """Return the trouble of having lost something."""

        def begin(_arm: str) -> AbstractContextManager[None]:
            return self.losing(lose)

        staged = {"collection": self.collection, "day": self._day}
        return Trouble(
            what=what, on="vectordb", begin=begin, staged=staged, look=self.look, kept=self.kept
        )


@pytest.fixture
def store(
    stack: Stack,
    vectordb: QdrantClient,
    run_script: RunScript,
    new_tenant: Callable[..., Tenant],
    connect: Connect,
) -> Store:
    """The vector store with something to lose."""
    return Store(stack, vectordb, run_script, new_tenant("lamplighter", ("work",)), connect)


@conformance("playbook/implied", since="0.2", profiles=("full",))
@needs("read", "write", "restart", "destroy", roles=ROLES)
@pytest.mark.timeout(600)
def test_the_restore_brings_lost_points_back(remedy: Remedy, store: Store) -> None:
    """When the vector store lacks points that the metadata store knows, the restore MUST bring back
    these and change no other, and without it they stay lost."""
    trouble = store.trouble("points are lost", store.lose_points)
    remedy.prove(FAILED_RESTORE, FAILED_RESTORE.step("restore-vectors"), trouble)


@conformance("playbook/implied", since="0.2", profiles=("full",))
@needs("read", "write", "restart", "destroy", roles=ROLES)
@pytest.mark.timeout(600)
def test_the_restore_undoes_an_upgrade_that_lost_the_collection(
    remedy: Remedy, store: Store
) -> None:
    """When the vector store is up after an upgrade and the collection is gone, the restore MUST
    bring all of it back as it was, and without it queries go on failing."""
    trouble = store.trouble("the collection is gone", store.lose_all)
    remedy.prove(FAILED_UPGRADE, FAILED_UPGRADE.step("restore-snapshot"), trouble)
