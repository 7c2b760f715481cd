"""DoesNotFit: why a deployment is refused, and the shortest changes that would make it fit."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from broker.errors import BrokerError
from broker.plan.changes import Change, Lever, levers
from broker.plan.deployment import Deployment
from broker.plan.draft import Draft, Excess

Work = Callable[[Deployment], Draft]
MOST_AT_ONCE = 3  # changes in a list; who needs more needs another design
MOST_WAYS = 6


@dataclass(frozen=True, slots=True)
class Way:
    """A list of changes that fits, and what comes of it."""

    changes: tuple[Change, ...]
    outcome: str

    def __str__(self) -> str:
        return f"{'; and '.join(change.sentence for change in self.changes)}. {self.outcome}"

    @property
    def deployment(self) -> Deployment:
        """The deployment with all of the changes made."""
        return self.changes[-1].deployment


class DoesNotFit(BrokerError):
    """The deployment does not fit, so nothing was planned. Make one of the changes listed."""

    def __init__(
        self, deployment: Deployment, excesses: tuple[Excess, ...], ways: tuple[Way, ...]
    ) -> None:
        lines = [f"{deployment.file} does not fit:", *(f"  - {each}" for each in excesses)]
        if ways:
            lines.append("Any one of these would make it fit:")
            lines += [f"  {number}. {way}" for number, way in enumerate(ways, 1)]
        else:
            lines.append(f"No {MOST_AT_ONCE} changes make it fit: split it over several databases.")
        super().__init__("\n".join(lines))
        self.deployment = deployment
        self.excesses = excesses
        self.ways = ways

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.deployment, self.excesses, self.ways))


def ways_out(deployment: Deployment, work: Work) -> tuple[Way, ...]:
    """Return the shortest lists of changes that fit, the usual remedy first."""

    def fits(changed: Deployment) -> bool:
        return not work(changed).excesses

    pulls = levers(deployment)
    for count in range(1, MOST_AT_ONCE + 1):
        found: list[Way] = []
        for some in itertools.combinations(pulls, count):
            if len({lever.name for lever in some}) == count and len(found) < MOST_WAYS:
                changes = _mildest(deployment, some, fits)
                if changes:
                    found.append(Way(changes, _outcome(work(changes[-1].deployment))))
        if found:
            return tuple(found)
    return ()


def _mildest(
    deployment: Deployment, some: Sequence[Lever], fits: Callable[[Deployment], bool]
) -> tuple[Change, ...]:
    """Pull each lever as little as will do while the later ones are pulled all the way."""
    steps = [lever.steps for lever in some]

    def fit() -> bool:
        return fits(_apply(deployment, some, steps)[-1].deployment)

    if not fit():
        return ()
    for index, lever in enumerate(some):
        low, high = 1, lever.steps
        while low < high:  # `high` is known to fit
            steps[index] = (low + high) // 2
            if fit():
                high = steps[index]
            else:
                low = steps[index] + 1
        steps[index] = high
    return tuple(_apply(deployment, some, steps))


def _apply(deployment: Deployment, some: Sequence[Lever], steps: Sequence[int]) -> list[Change]:
    changes: list[Change] = []
    for lever, step in zip(some, steps, strict=True):
        changes.append(lever.pull(changes[-1].deployment if changes else deployment, step))
    return changes


def _outcome(draft: Draft) -> str:
    numbers = draft.numbers
    pools = ""
    if "default_pool_size" in numbers:
        pools = (
            f" ({numbers['pools_at_worst']} pools of {numbers['default_pool_size']} + "
            f"{numbers['reserve_pool_size']}, {numbers['reserved']} reserved, for "
            f"{numbers['clients_at_worst']:,} clients)"
        )
    worst, limit = numbers["sessions_at_worst"], numbers["max_connections"]
    return f"Then {worst:,} of {limit:,} sessions at the worst moment{pools}"
