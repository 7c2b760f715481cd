"""A whole life of each flavour's stack, by the real CDK CLI, in an emulated account.

The stack's own functions really run there, with the policies that they were given: the
provisioner makes the roles on a real PostgreSQL, over verified TLS, and the user's functions
answer from it. What the emulator does not run is RDS Proxy, ECS and RDS itself. In their place
stand that PostgreSQL and, for pgbouncer, the deployed task's own entrypoint and configuration.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

from broker.plan.deployment import Flavour
from tests.conftest import need_postgres_tls
from tests.deployment import expected, rotation, variant, watching
from tests.deployment.cdk import say
from tests.deployment.deployed_task import DeployedTask
from tests.deployment.site import Site, site
from tests.deployment.variant import Variant

pytestmark = [
    pytest.mark.deployment,
    pytest.mark.slow,
    pytest.mark.timeout(1200),  # 50 s on two idle cores
]

NEW_REVISION = "AWS::ECS::TaskDefinition"  # revisions, which are never changed


@pytest.fixture(params=list(Flavour), ids=lambda flavour: str(flavour.value))
def there(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """Run an emulated account for one flavour."""
    need_postgres_tls()
    with site(request.param, tmp_path) as running:
        yield running


def test_a_stack_is_deployed_changed_in_place_rolled_back_and_destroyed(
    there: Site, tmp_path: Path
) -> None:
    first = variant.write(there.flavour, variant.FIRST[there.flavour], tmp_path / "first.toml")
    changed = variant.write(there.flavour, variant.CHANGED[there.flavour], tmp_path / "new.toml")
    is_deployed(there, first)
    functions_answer(there, first)
    watching.check(there)
    if there.flavour is Flavour.PGBOUNCER:
        rotation.check(there)
    nothing_changes_without_a_change(there, first)
    is_changed_in_place(there, changed)
    functions_answer(there, changed)
    a_broken_update_is_rolled_back(there, first, changed)
    is_destroyed_but_for_the_data(there)


def is_deployed(there: Site, first: Variant) -> None:
    """Deploy: all is as the plan says, and the roles exist on the server."""
    there.deploy(first).ok()
    assert there.stack.status == "CREATE_COMPLETE"
    expected.check(there, first.plan)


def functions_answer(there: Site, deployed: Variant) -> None:
    """Invoke both functions: they query and write as the role that the provisioner made."""
    before = kept(there)
    with pooler(there, deployed):
        answer = there.stack.invoke("orders", {"keep": "from orders"})
        there.stack.invoke("reports", {"keep": "from reports"})
    assert answer["role"] == "app"
    assert answer["database"] == "orders"
    assert answer["encrypted"]
    assert kept(there) - before == Counter(["from orders", "from reports"])


def pooler(there: Site, deployed: Variant) -> AbstractContextManager[object]:
    """Run the deployed task, where there is one."""
    if there.flavour is Flavour.PGBOUNCER:
        return DeployedTask(there, deployed.plan)
    return nullcontext()


def kept(there: Site) -> Counter[str]:
    """Return what the functions have written, as the server has it."""
    sql = "select 1 from pg_tables where tablename = 'kept'"
    if not there.postgres.admin(sql, database="orders"):
        return Counter()
    rows = there.postgres.admin("select what from kept", database="orders")
    return Counter(str(row[0]) for row in rows)


def nothing_changes_without_a_change(there: Site, first: Variant) -> None:
    """Deploy the same file again: nothing is touched."""
    before = there.stack.events()
    there.deploy(first).ok()
    assert there.stack.events() == before


def is_changed_in_place(there: Site, changed: Variant) -> None:
    """Deploy new numbers: they reach every resource, and none is replaced."""
    before = there.stack.resources()
    there.deploy(changed).ok()
    assert there.stack.status == "UPDATE_COMPLETE"
    after = there.stack.resources()
    moved = {
        name: (before[name], after.get(name)) for name in before if before[name] != after.get(name)
    }
    assert {kind for (kind, _), _ in moved.values()} <= {NEW_REVISION}, moved
    assert after.keys() == before.keys()
    expected.check(there, changed.plan)


def a_broken_update_is_rolled_back(there: Site, first: Variant, changed: Variant) -> None:
    """Let an update fail at its end: every number is as it was, on the server, too."""
    say(f"{there.flavour.value}: an update that must fail")
    there.deploy(first, broken="1").failed()
    assert there.stack.status == "UPDATE_ROLLBACK_COMPLETE"
    expected.check(there, changed.plan)


def is_destroyed_but_for_the_data(there: Site) -> None:
    """Destroy: all goes but the data stores, and a role that owns a table, which is locked."""
    functions = [there.stack.output(f"{name}Function") for name in ("orders", "reports")]
    there.destroy().ok()
    left = {
        each["FunctionName"]
        for each in there.emulator.client("lambda").list_functions()["Functions"]
    }
    assert left.isdisjoint(functions)
    rds = there.emulator.client("rds")
    assert rds.describe_db_proxies()["DBProxies"] == []
    servers = (
        rds.describe_db_clusters()["DBClusters"]
        if there.flavour is Flavour.RDS_PROXY
        else rds.describe_db_instances()["DBInstances"]
    )
    assert [each["DeletionProtection"] for each in servers] == [True]
    assert kept(there).total() == 4
    assert not there.role("app")["logs_in"]
