"""What is done to the servers, and looked up on them."""

from __future__ import annotations

import time

from benchmarks.stack import BALANCE, BOUNDED, DATABASE, Stack

END_BOUND_S = 10.0
_OURS = f"from pg_stat_activity where usename = '{BOUNDED}'"


def sessions(stack: Stack) -> int:
    """Return how many sessions the applications' role has on the server."""
    return int(stack.postgres.admin(f"select count(*) {_OURS}")[0][0])


def kill(stack: Stack) -> None:
    """End all of them, whatever they are doing."""
    stack.postgres.admin(f"select count(pg_terminate_backend(pid)) {_OURS}")


def end_all(stack: Stack) -> None:
    """End all of them, and return once they are gone."""
    kill(stack)
    bound_s = time.monotonic() + END_BOUND_S
    while sessions(stack):
        if time.monotonic() > bound_s:
            raise AssertionError(f"sessions of {BOUNDED} did not end within {END_BOUND_S} s")
        time.sleep(0.01)


def begin_anew(stack: Stack) -> None:
    """Forget every payment."""
    stack.postgres.admin("truncate payment", database=DATABASE)
    stack.postgres.admin(f"update account set balance = {BALANCE}", database=DATABASE)


def paid(stack: Stack) -> dict[str, int]:
    """Return each payment's token, and how often it is there."""
    sql = "select token, count(*) from payment group by 1"
    return {str(token): int(count) for token, count in stack.postgres.admin(sql, database=DATABASE)}


def out_of_balance(stack: Stack) -> int:
    """Return how many accounts lack what was not paid from them, or paid what they still have."""
    sql = f"""select count(*) from account a where balance <> {BALANCE} - coalesce(
                (select sum(amount) from payment where account = a.id), 0)"""
    return int(stack.postgres.admin(sql, database=DATABASE)[0][0])
