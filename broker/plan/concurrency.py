"""Reserved concurrency: the functions' parts of the account's, and what must stay."""

from __future__ import annotations

from broker.plan.deployment import Deployment, Kind
from broker.plan.draft import Draft, Limit

UNRESERVED_LEAST = 100  # FACTS 3: Lambda refuses to reserve the last hundred


def add_concurrency(draft: Draft, deployment: Deployment) -> None:
    """Write down each function's reserved concurrency, and refuse what the account has not."""
    functions = [each for each in deployment.applications if each.kind is Kind.FUNCTION]
    if not functions:
        return
    numbers = draft.numbers
    account = numbers.whole(
        "account_concurrency",
        deployment.account_concurrency,
        "environments",
        "account.concurrency; 1,000 is a region's default",
    )
    for each in functions:
        numbers.whole(
            f"reserved_concurrency.{each.name}",
            each.environments,
            "environments",
            "the count that the sum of sessions rests on, so it must be enforced",
            source="it spans all versions",
        )
    total = sum(each.environments for each in functions)
    left = numbers.whole(
        "unreserved_concurrency",
        max(0, account - total),
        "environments",
        f"{account} - {total} reserved",
        "account_concurrency",
        *(f"reserved_concurrency.{each.name}" for each in functions),
    )
    if account - total < UNRESERVED_LEAST:
        draft.refuse(
            Limit.CONCURRENCY,
            total + UNRESERVED_LEAST,
            account,
            f"{total:,} reserved of an account's {account:,} leave {left:,}, and "
            f"{UNRESERVED_LEAST} must stay unreserved",
        )
