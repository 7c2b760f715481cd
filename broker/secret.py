"""A secret in Secrets Manager as a login, and what a rotation does to it."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

from broker.deadline import Clock, Deadline
from broker.errors import ConfigurationError
from broker.login import Login
from broker.secrets_manager import SecretsManager
from broker.settings import DEFAULT_PORT, Settings


class Secret:
    """Logs in as the secret's JSON says: {username, password, host?, port?, dbname?}.

    The settings that are given win. It is good until a server refuses it.
    """

    life_s = math.inf

    def __init__(
        self,
        settings: Settings,
        arn: str,
        clock: Clock,
        secrets_manager: SecretsManager | None = None,
    ) -> None:
        self._settings = settings
        self._arn = arn
        self._clock = clock
        self._secrets_manager = secrets_manager or SecretsManager(arn)

    def obtain(self, refused: Login | None, deadline: Deadline) -> Login:
        """Read the secret; after a refusal from Secrets Manager itself, whatever is cached.

        Between a rotation's "set" and "finish" the server knows the pending password alone; after
        it none is pending, so it may have become the current one between two looks.

        Raises SecretUnavailable, or ConfigurationError where no waiting mends it.
        """
        manager = self._secrets_manager
        if refused is None:
            text = manager.cached(deadline) or manager.current(deadline)
            return self._login(text)
        for read in (manager.current, manager.pending, manager.current):
            version: str | None = read(deadline)
            login = self._login(version) if version else refused
            if not login.same_as(refused):
                return login
        return refused

    def _login(self, text: str) -> Login:
        value = self._parsed(text)
        given = self._settings
        found: dict[str, Any] = {
            "user": given.user or value.get("username"),
            "database": given.database or value.get("dbname"),
            "host": given.host or value.get("host"),
        }
        for name, key in (("user", "username"), ("database", "dbname"), ("host", "host")):
            if not isinstance(found[name], str) or not found[name]:
                raise ConfigurationError(
                    f"BROKER_SECRET_ARN={self._arn}: the secret has no {key}, and "
                    f"BROKER_{name.upper()} is not given: give either"
                )
        found["port"] = given.port if given.host else _port(value.get("port"), self._arn)
        return Login(dataclasses.replace(given, **found), str(value["password"]), self._clock.now())

    def _parsed(self, text: str) -> dict[str, Any]:
        try:
            value = json.loads(text)
        except ValueError:
            value = None
        if not isinstance(value, dict) or not value.get("password"):
            raise ConfigurationError(  # no word of what it says: it is secret
                f"BROKER_SECRET_ARN={self._arn}: the secret is not a JSON object with a password, "
                'as databases\' secrets are: {"username": "app", "password": "…"}'
            ) from None
        return value


def _port(value: object, arn: str) -> int:
    """Return the secret's port, which rotation functions write as a number or as text."""
    if value is None:
        return DEFAULT_PORT
    try:
        return int(str(value))
    except ValueError:
        raise ConfigurationError(
            f"BROKER_SECRET_ARN={arn}: the secret's port is not a number"
        ) from None
