"""The fixtures. What a project overrides in its conftest.py: `broker_schema`, `broker_flavour`."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from broker import Broker, UsageError, handler
from broker.local.fleet import Fleet, Function
from broker.settings import Flavour
from broker.testing.database import Database
from broker.testing.function import DeployedFunction
from broker.testing.server import Server

Deploy = Callable[..., DeployedFunction]
TIMEOUT_S = 30.0  # of a function, unless the test says otherwise; as `broker invoke` has it
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def broker_server() -> Iterator[Server]:
    """Run one PostgreSQL with PgBouncer before it, for the whole session of this xdist worker."""
    with Server() as server:
        yield server


@pytest.fixture(scope="session")
def broker_template(broker_server: Server) -> Database:
    """Make the database that `broker_schema` fills, and that every test's is a copy of."""
    return broker_server.create_database()


@pytest.fixture(scope="session")
def broker_schema(broker_template: Database) -> None:
    """Override it: run your migrations in `broker_template`, once for the whole session."""


@pytest.fixture
def broker_flavour() -> Flavour | str:
    """Override it, or parametrize it: "pgbouncer" (the default) or "direct"."""
    return Flavour.PGBOUNCER


@pytest.fixture(scope="session")
def _sealed(broker_server: Server, broker_template: Database, broker_schema: object) -> Database:  # noqa: ARG001  filled before it is sealed
    broker_server.seal(broker_template)
    return broker_template


@pytest.fixture
def broker_database(broker_server: Server, _sealed: Database) -> Iterator[Database]:
    """Make a database of the test's own, with all that the template has; dropped afterwards."""
    database = broker_server.create_database(_sealed)
    yield database
    broker_server.drop_database(database)


@pytest.fixture
def broker_db(broker_database: Database, broker_flavour: Flavour | str) -> Iterator[Broker]:
    """Make a strict Broker on `broker_database`, to arrange and to look; closed with the test."""
    with broker_database.broker(Flavour(broker_flavour)) as db:
        yield db


@pytest.fixture
def broker_environment(
    broker_database: Database, broker_flavour: Flavour | str, monkeypatch: pytest.MonkeyPatch
) -> Mapping[str, str]:
    """Set the BROKER_ variables of `broker_database` in this process, and return them.

    A module that calls Broker.from_env() must be imported after that.
    """
    variables = broker_database.variables(Flavour(broker_flavour))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


@pytest.fixture(scope="session")
def broker_fleet() -> Iterator[Fleet]:
    """Run the local Lambda fleet for the whole session: real runtime clients, frozen when idle."""
    with Fleet() as fleet:
        yield fleet


@pytest.fixture
def broker_function(
    request: pytest.FixtureRequest,
    broker_fleet: Fleet,
    broker_database: Database,
    broker_flavour: Flavour | str,
) -> Iterator[Deploy]:
    """Deploy handlers to the fleet, on `broker_database`.

    `function = broker_function("app.handler", code="src")`: `code` is the folder of the module,
    from pytest's rootdir; further arguments are those of broker.local.fleet.Function, and
    `environment` adds to the BROKER_ variables. They end with the test, which fails if one of
    them left a transaction open.
    """
    with ExitStack() as deployed:

        def deploy(handler: str, code: str | Path = "", **given: Any) -> DeployedFunction:
            variables = broker_database.variables(Flavour(broker_flavour))
            described: dict[str, Any] = {"name": _name(handler), "timeout_s": TIMEOUT_S, **given}
            described["environment"] = {**variables, **given.get("environment", {})}
            folder = _folder(request.config.rootpath, code)
            broker_fleet.deploy(Function(handler=handler, code=folder, **described))
            function = DeployedFunction(described["name"], broker_database, broker_fleet)
            deployed.callback(function.end)
            return function

        yield deploy


@pytest.fixture
def broker_strict() -> Iterator[None]:
    """Let an invocation that leaves a transaction or a session open raise LeftOpen."""
    before = handler.strict_everywhere
    handler.strict_everywhere = True
    yield
    handler.strict_everywhere = before


def _folder(rootdir: Path, code: str | Path) -> Path:
    """Return the folder of a function's code; UsageError says from where it was looked for."""
    folder = rootdir / code
    if not folder.is_dir():
        raise UsageError(
            f"code={str(code)!r}: there is no folder {folder}. It is looked for from pytest's "
            f"rootdir, {rootdir}: give its path from there, or a whole one, such as "
            "code=Path(__file__).with_name('src')"
        )
    return folder


def _name(handler: str) -> str:
    """Name a function after its handler; no other of this session has that name."""
    return f"{re.sub('[^A-Za-z0-9_-]', '-', handler)[:50]}-{next(_numbers)}"
