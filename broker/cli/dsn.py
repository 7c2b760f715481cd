"""A server's address as the command line takes it; its password is in no message of ours."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from broker import Broker
from broker.errors import ServerUnavailable, UsageError
from broker.settings import Flavour, Settings, Tls

Run = Callable[..., list[list[Any]]]
EXAMPLE = "postgresql://user@host:5432/database?sslmode=verify-full"
TLS = {"verify-full": Tls.VERIFY_FULL, "require": Tls.REQUIRE, "disable": Tls.OFF}
OPTIONS = ("sslmode", "sslrootcert")
PATIENCE_S = 10.0


def settings(dsn: str) -> Settings:
    """Return the library's settings for postgresql://…; UsageError does not repeat any of it."""
    try:
        parts = urlsplit(dsn)
        port, host = parts.port or 5432, parts.hostname
    except ValueError:
        raise UsageError(f"the DSN cannot be read; it looks like {EXAMPLE}") from None
    if parts.scheme not in ("postgresql", "postgres") or not host:
        raise UsageError(f"the DSN must look like {EXAMPLE}")
    if "@" in parts.path + parts.query or parts.fragment:
        raise UsageError("the DSN's password holds / ? # or @: write them as %2F %3F %23 %40")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if not options.keys() <= set(OPTIONS):
        raise UsageError(f"the DSN has an option that is not known; known are {', '.join(OPTIONS)}")
    mode = options.get("sslmode", "verify-full")
    if mode not in TLS:
        raise UsageError(
            f"the DSN's sslmode must be one of {', '.join(TLS)}: others verify nothing"
        )
    user = unquote(parts.username or "")
    password = unquote(parts.password or "") or os.environ.get("PGPASSWORD", "")
    if not user:
        raise UsageError(f"the DSN names no user; it looks like {EXAMPLE}")
    return Settings(
        host=host,
        port=port,
        database=unquote(parts.path.lstrip("/")) or user,
        user=user,
        password=password,
        flavour=Flavour.DIRECT,
        tls=TLS[mode],
        tls_ca=options.get("sslrootcert"),
        timeout_s=PATIENCE_S,
        application_name="broker-cli",
    )


@contextmanager
def opened(dsn: str) -> Iterator[Run]:
    """Open a session there, and lend what runs a statement and returns its rows."""
    with connected(settings(dsn)) as db:
        yield lambda sql, **params: [list(row) for row in db.run(sql, **params)]


@contextmanager
def connected(found: Settings) -> Iterator[Broker]:
    """Lend a broker to a DSN's server; where nobody answers, the advice is on the DSN."""
    try:
        with Broker(found) as db:
            yield db
    except ServerUnavailable as error:
        where = f"the DSN's host and port ({found.host}:{found.port})"
        said = error.args[0].replace("BROKER_HOST and BROKER_PORT", where)
        raise ServerUnavailable(said, sqlstate=error.sqlstate) from error
