"""A handler that is deployed to the local fleet, on a test's own database."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from broker.errors import LeftOpen
from broker.local.fleet import Fleet, Invocation
from broker.testing.database import Database


@dataclass(frozen=True)
class DeployedFunction:
    """One function in the real runtime client; `fleet` freezes, kills and looks at it by name."""

    name: str
    database: Database
    fleet: Fleet = field(repr=False)

    def __call__(self, event: Any = None) -> Any:
        """Invoke it and return what the handler returned.

        Raises InvocationFailed, with the function's own traceback, for an error or a time-out.
        """
        return self.invoke(event).result()

    def invoke(self, event: Any = None) -> Invocation:
        """Invoke it; whatever becomes of it is in the Invocation."""
        return self.fleet.invoke(self.name, event)

    def submit(self, event: Any = None) -> Future[Invocation]:
        """Invoke it without waiting: several at once get environments of their own."""
        return self.fleet.submit(self.name, event)

    def logs(self) -> list[str]:
        """Return the last lines that it wrote, metrics among them."""
        return self.fleet.logs(self.name)

    def end(self) -> None:
        """End its environments; LeftOpen if one of them had left a transaction open."""
        left = self.database.server.open_transactions(self.database, self.name)
        for environment in self.fleet.environments(self.name):
            self.fleet.kill(environment.id)
        if left:
            raise LeftOpen(
                f"{self.name} was frozen with a transaction open, after: {'; '.join(left)}. "
                "Use it in a `with` block, and @db.handler on the handler"
            )
