"""One database of a test's own, and the ways to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from broker import Broker
from broker.settings import Flavour, Settings, Tls

if TYPE_CHECKING:
    from broker.testing.server import Server


@dataclass(frozen=True)
class Database:
    """A database that nobody else uses; `user` owns it."""

    server: Server = field(repr=False)
    name: str
    user: str
    password: str = field(repr=False)

    def settings(self, flavour: Flavour = Flavour.DIRECT, **changes: Any) -> Settings:
        """Return the library's settings for it, strict about leaks, with `changes`."""
        given: dict[str, Any] = {
            "host": self.server.postgres.host,
            "port": self.server.port(flavour),
            "database": self.name,
            "user": self.user,
            "password": self.password,
            "flavour": flavour,
            "tls": Tls.OFF,
            "strict": True,
        }
        return Settings(**{**given, **changes})

    def variables(self, flavour: Flavour = Flavour.DIRECT) -> dict[str, str]:
        """Return the BROKER_ variables of the same settings: a function's environment."""
        return {
            "BROKER_HOST": self.server.postgres.host,
            "BROKER_PORT": str(self.server.port(flavour)),
            "BROKER_DATABASE": self.name,
            "BROKER_USER": self.user,
            "BROKER_PASSWORD": self.password,
            "BROKER_FLAVOUR": flavour.value,
            "BROKER_TLS": Tls.OFF.value,
            "BROKER_STRICT": "1",
        }

    def broker(self, flavour: Flavour = Flavour.DIRECT, **changes: Any) -> Broker:
        """Return a broker to it; close it, or use it in a `with` block."""
        return Broker(self.settings(flavour, **changes))

    def dsn(self, flavour: Flavour = Flavour.DIRECT) -> str:
        """Return its address for other tools, with the password in it."""
        address = f"{self.server.postgres.host}:{self.server.port(flavour)}"
        return f"postgresql://{self.user}:{self.password}@{address}/{self.name}?sslmode=disable"

    def admin(self, sql: str, **parameters: Any) -> list[list[Any]]:
        """Run one statement in it as the superuser, direct: for `create extension`."""
        return self.server.postgres.admin(sql, database=self.name, **parameters)
