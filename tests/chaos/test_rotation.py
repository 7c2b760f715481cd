"""An environment that slept through a rotation and wakes in the middle of the next one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from broker import Broker
from broker.settings import Flavour, Settings, Tls
from tests.chaos.vault import Vault
from tests.conftest import Database

ROTATIONS = ("second", "third")


@pytest.fixture
def vault(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Vault]:
    """Serve the secret of the database's role."""
    with Vault({database.user: database.password}) as made:
        for name, value in made.variables(database.user).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "orders")
        yield made


@pytest.mark.parametrize("missed", [0, 1])
def test_the_pending_password_is_tried_however_many_rotations_were_missed(
    database: Database, vault: Vault, missed: int
) -> None:
    settings = Settings(
        host=database.server.host,
        port=database.server.port,
        database=database.name,
        user=database.user,
        secret_arn=vault.variables(database.user)["BROKER_SECRET_ARN"],
        flavour=Flavour.DIRECT,
        tls=Tls.OFF,
        fresh_s=0,  # look before each use: it was ended a moment ago
    )
    with Broker(settings) as db:
        assert db.run("select 1").scalar() == 1
        for password in ROTATIONS[: missed + 1]:
            vault.finish()
            vault.pending = {database.user: password}
            database.server.set_password(database.user, password)
        database.kill_backends()
        assert db.run("select 2").scalar() == 2
