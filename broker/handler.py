"""The handler's decorator: deadline, attribution, leak check, metrics."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from broker.errors import LeftOpen
from broker.pool import Place
from broker.settings import Settings
from broker.stats import Recorder

T = TypeVar("T")
strict_everywhere = False  # as if every broker were strict: broker.testing sets it


class Leak(NamedTuple):
    """A session that was still checked out when the invocation ended."""

    place: Place
    in_transaction: bool

    def __str__(self) -> str:
        file, line = self.place
        what = "a transaction" if self.in_transaction else "a session"
        return (
            f"{what} checked out at {file}:{line} was still open when the invocation ended; "
            "it was rolled back and its session closed. Use it in a `with` block"
        )


class Invoked(Protocol):
    """What the decorator needs of a Broker."""

    settings: Settings
    recorder: Recorder

    @property
    def serving(self) -> bool:
        """Whether an invocation is under way."""

    def begin_invocation(self, context: Any) -> None:
        """Bound and name everything from here on."""

    def end_invocation(self) -> Sequence[Leak]:
        """Close what was left open, and return it."""


def decorate(broker: Invoked, function: Callable[..., T]) -> Callable[..., T]:
    """Return the handler with the broker around it.

    Works bare and next to Powertools' own decorators, in any order.
    """
    from broker.metrics import Metrics, log  # late for its weight: Powertools takes 40 ms

    metrics = Metrics(broker.settings)

    def end() -> Sequence[Leak]:
        leaks = broker.end_invocation()
        for leak in leaks:
            log.error("%s", leak)
        metrics.emit(broker.recorder.take())
        return leaks

    @functools.wraps(function)
    def invoke(event: Any, context: Any, *args: Any, **kwargs: Any) -> T:
        if broker.serving:  # decorated twice: the outer one sees to it
            return function(event, context, *args, **kwargs)
        broker.begin_invocation(context)
        try:
            answer = function(event, context, *args, **kwargs)
        except BaseException:
            end()
            raise
        leaks = end()
        if leaks and (broker.settings.strict or strict_everywhere):
            raise LeftOpen("; ".join(map(str, leaks)))
        return answer

    return invoke
