"""Plan: every number that anybody configures, each with its derivation."""

from __future__ import annotations

from dataclasses import dataclass, field

from broker.plan.concurrency import add_concurrency
from broker.plan.cost import add_cost
from broker.plan.cpu import add_active
from broker.plan.deployment import Deployment
from broker.plan.draft import Draft
from broker.plan.lease import add_lease
from broker.plan.limits import add_limits
from broker.plan.memory import add_memory
from broker.plan.number import Number, explain, find
from broker.plan.refusal import DoesNotFit, ways_out
from broker.plan.sessions import add_reserves
from broker.plan.timeouts import add_timeouts
from broker.plan.unused import add_unused
from broker.plan.waiting import add_waiting


@dataclass(frozen=True, slots=True)
class Plan:
    """A deployment that fits. `plan["default_pool_size"]` is a Number."""

    deployment: Deployment
    numbers: tuple[Number, ...]
    notes: tuple[str, ...] = ()
    _by_name: dict[str, Number] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_name", {number.name: number for number in self.numbers})

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    def __getitem__(self, name: str) -> Number:
        return find(self._by_name, name)

    def whole(self, name: str) -> int:
        """Return a number as an int, for whoever configures it."""
        return int(self[name].value)

    def explain(self, name: str) -> list[tuple[int, Number]]:
        """Return the number and all that it rests on, with the depth of each."""
        return explain(self._by_name, name)


def draft(deployment: Deployment) -> Draft:
    """Work out every number, whether it fits or not."""
    made = Draft()
    add_reserves(made, deployment)
    add_active(made, deployment)
    add_limits(made, deployment)
    add_memory(made, deployment)
    add_waiting(made, deployment)
    add_timeouts(made, deployment)
    add_lease(made, deployment)
    add_concurrency(made, deployment)
    add_cost(made, deployment)
    add_unused(made, deployment)
    return made


def make_plan(deployment: Deployment) -> Plan:
    """Return the plan, or raise DoesNotFit with the shortest list of changes that would do."""
    made = draft(deployment)
    if made.excesses:
        raise DoesNotFit(deployment, tuple(made.excesses), ways_out(deployment, draft))
    return Plan(deployment, tuple(made.numbers), tuple(made.notes))
