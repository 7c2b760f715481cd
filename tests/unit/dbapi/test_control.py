"""What begins or ends a transaction is told from what happens in one."""

from __future__ import annotations

import pytest

from broker.dbapi.control import Control, Verb, control


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("BEGIN", Control(Verb.BEGIN)),
        ("begin work;", Control(Verb.BEGIN)),
        ("/* a */ start transaction read only", Control(Verb.BEGIN, "read only")),
        (
            "begin transaction isolation level serializable -- b",
            Control(Verb.BEGIN, "isolation level serializable"),
        ),
        ("set transaction read only", Control(Verb.SET, "read only")),
        ("set transaction snapshot 'x'", Control(Verb.NONE)),
        ("commit", Control(Verb.COMMIT)),
        ("END WORK;", Control(Verb.COMMIT)),
        ("commit and no chain", Control(Verb.COMMIT)),
        ("commit and chain", Control(Verb.CHAIN)),
        ("rollback", Control(Verb.ROLLBACK)),
        ("abort", Control(Verb.ROLLBACK)),
        ("rollback and chain", Control(Verb.CHAIN)),
        ("rollback to s", Control(Verb.NONE)),
        ("rollback work to savepoint s", Control(Verb.NONE)),
        ("savepoint s", Control(Verb.NONE)),
        ("commit prepared 'x'", Control(Verb.PREPARED)),
        ("rollback  prepared 'x'", Control(Verb.PREPARED)),
        ("prepare transaction 'x'", Control(Verb.PREPARE)),
        ("rollback transaction to s", Control(Verb.NONE)),
        ("rollback/**/work -- x\n to s", Control(Verb.NONE)),
        (";; BEGIN", Control(Verb.BEGIN)),
        (
            "start\ttransaction isolation  level /* x */ serializable, read only;",
            Control(Verb.BEGIN, "isolation level serializable , read only"),
        ),
        ("set transaction /* x */ snapshot 'x'", Control(Verb.NONE)),
        ("set local transaction_isolation = 'serializable'", Control(Verb.NONE)),
        ("prepare p as select 1", Control(Verb.NONE)),
        ("commit transaction and chain", Control(Verb.CHAIN)),
        ('"commit"', Control(Verb.NONE)),
        ("start", Control(Verb.NONE)),
        ("", Control(Verb.NONE)),
        ("-- commit", Control(Verb.NONE)),
        ("beginning", Control(Verb.NONE)),
        ("select 'commit'", Control(Verb.NONE)),
    ],
)
def test_what_a_statement_does_to_the_transaction(sql: str, expected: Control) -> None:
    assert control(sql) == expected
