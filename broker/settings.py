"""Settings: what the library must be told, read once and checked at once.

The environment is read in `Settings.from_env` and nowhere else. A variable that starts with
BROKER_ and is not a setting is an error, since a misspelt limit is no limit.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from enum import Enum
from typing import Any

from broker.errors import ConfigurationError

PREFIX = "BROKER_"
DEFAULT_PORT = 5432  # PostgreSQL's
RESULT_SHARE = 1 / 16  # of a function's memory: rows take up to 10 times the bytes of the wire
IAM = "iam"  # a token of RDS's in place of a password; an Enum takes 0.1 ms of import
PEM_BEGINS = "-----BEGIN CERTIFICATE-----"


class Flavour(Enum):
    """What stands between the sessions and PostgreSQL."""

    DIRECT = "direct"
    PGBOUNCER = "pgbouncer"
    RDS_PROXY = "rds-proxy"

    @property
    def pins_on_settings(self) -> bool:
        """Whether changing a parameter ties the session to one server connection (FACTS 4)."""
        return self is Flavour.RDS_PROXY


class WhenUnreachable(Enum):
    """What a session that needs a lease does while the table of leases is out of reach."""

    CLOSED = "closed"
    """It is not opened, so the cap holds whatever happens."""
    OPEN = "open"
    """It is opened without a lease, counted and logged."""


class GuardMode(Enum):
    """What becomes of a statement that would stay with a pooled connection."""

    REFUSE = "refuse"
    WARN = "warn"
    OFF = "off"


class Tls(Enum):
    """How much the broker demands of the server's certificate."""

    VERIFY_FULL = "verify-full"
    REQUIRE = "require"
    OFF = "off"


@dataclass(frozen=True, eq=False, repr=False)  # each method it writes takes 0.2 ms of import
class Settings:
    """Everything the library can be told. Times are in seconds.

    With a `secret_arn`, who and where may be left out: the secret says it then.
    """

    host: str = ""
    database: str = ""
    user: str = ""
    password: str = ""
    port: int = DEFAULT_PORT
    flavour: Flavour = Flavour.PGBOUNCER
    tls: Tls = Tls.VERIFY_FULL
    tls_ca: str | None = None
    """A file of certificates, or the certificates themselves, in PEM."""
    secret_arn: str | None = None
    auth: str | None = None
    max_sessions: int = 1
    timeout_s: float = 30.0
    connect_timeout_s: float = 5.0
    margin_s: float = 0.5
    max_result_mb: float = 128.0
    """Of what one statement's answer may take on the wire; a MB is 2**20 bytes."""
    fresh_s: float = 0.1
    probe_s: float = 60.0
    idle_timeout_s: float = 240.0
    lifetime_s: float = 600.0
    guard: GuardMode = GuardMode.REFUSE
    strict: bool = False
    application_name: str = "broker"
    metrics_namespace: str = "LambdaPgBroker"
    cap: int | None = None
    cap_table: str | None = None
    cap_name: str = "sessions"
    cap_lease_s: float = 600.0
    cap_when_unreachable: WhenUnreachable = WhenUnreachable.CLOSED

    def __repr__(self) -> str:
        shown = (s.name for s in fields(self) if s.name != "password")
        return f"Settings({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"

    @property
    def destination(self) -> str:
        """Where to, as whom, and through what: for people."""
        where = f"{self.host}:{self.port}" if self.host else "where the secret says"
        who = f"{self.database or '…'} as {self.user or '…'}"
        return f"{where}/{who}, {self.flavour.value}"

    def __post_init__(self) -> None:
        for spec in fields(self):
            check = _CHECKS.get(spec.name)
            value = getattr(self, spec.name)
            if check and not check[0](value):
                raise ConfigurationError(
                    f"{variable(spec.name)}={value!r}: {check[1]}, for example {example(spec.name)}"
                )
        self._refuse_contradictions()
        if not self.host:
            if not self.secret_arn:
                raise ConfigurationError(
                    f"BROKER_HOST='': must name a host, for example {example('host')}"
                )
            _refuse_lone_port(given=self.port != DEFAULT_PORT)

    def _refuse_contradictions(self) -> None:
        ways = [name for name in _WAYS_IN if getattr(self, name)]
        if len(ways) > 1:
            raise ConfigurationError(
                f"{' and '.join(map(variable, ways))} are different ways to log in: keep one"
            )
        if self.auth and self.tls is Tls.OFF:
            raise ConfigurationError(
                "BROKER_AUTH=iam sends a token that logs anybody in, so it needs TLS: "
                "leave BROKER_TLS=off out"
            )
        if self.tls is not Tls.VERIFY_FULL and self.tls_ca:
            raise ConfigurationError(
                f"BROKER_TLS_CA is given, but BROKER_TLS={self.tls.value} verifies nothing: "
                "leave BROKER_TLS out (verify-full), or leave BROKER_TLS_CA out"
            )
        if (self.cap is None) != (self.cap_table is None):
            raise ConfigurationError(
                "BROKER_CAP and BROKER_CAP_TABLE belong together: "
                f"for example {example('cap')} {example('cap_table')}"
            )
        if self.cap is not None and self.flavour is not Flavour.DIRECT:
            raise ConfigurationError(
                f"BROKER_CAP={self.cap} is for BROKER_FLAVOUR=direct, not {self.flavour.value}, "
                "whose pool caps the sessions: leave BROKER_CAP and BROKER_CAP_TABLE out"
            )

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Return the settings that the environment's BROKER_ variables give.

        Raises ConfigurationError, which names the variable, the nearest right one and an
        example, for one that is missing, unknown or unreadable.
        """
        environ = os.environ if environ is None else environ
        given = {name: value for name, value in environ.items() if name.startswith(PREFIX)}
        known = {variable(spec.name): spec.name for spec in fields(cls)}
        _refuse_unknown(given, known)
        values: dict[str, Any] = {}
        for name, attribute in known.items():
            text = given.get(name, "").strip() if attribute != "password" else given.get(name, "")
            if text:
                values[attribute] = _read(attribute, text)
        if "application_name" not in values and "AWS_LAMBDA_FUNCTION_NAME" in environ:
            values["application_name"] = _lambda_name(environ)
        memory_mb = environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "")
        if "max_result_mb" not in values and memory_mb.isdigit():
            values["max_result_mb"] = max(int(memory_mb) * RESULT_SHARE, 1.0)
        _refuse_missing(values)
        if "host" not in values:
            _refuse_lone_port(given="port" in values)
        return cls(**values)


_EXAMPLES = {
    "host": "mydb-proxy.proxy-abc.eu-west-1.rds.amazonaws.com",
    "database": "appdb",
    "user": "app",
    "password": "'the password'",
    "secret_arn": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:orders/app-AbCdEf",
    "auth": "iam",
    "port": "5432",
    "flavour": "pgbouncer",
    "tls": "verify-full",
    "tls_ca": "/opt/rds-ca.pem",
    "application_name": "orders",
    "metrics_namespace": "LambdaPgBroker",
    "max_sessions": "1",
    "timeout_s": "30",
    "connect_timeout_s": "5",
    "margin_s": "0.5",
    "max_result_mb": "128",
    "fresh_s": "0.1",
    "probe_s": "60",
    "idle_timeout_s": "240",
    "lifetime_s": "600",
    "guard": "refuse",
    "strict": "1",
    "cap": "80",
    "cap_table": "orders-leases",
    "cap_name": "sessions",
    "cap_lease_s": "600",
    "cap_when_unreachable": "closed",
}
_REQUIRED = ("host", "database", "user")  # unless a secret says them
_WAYS_IN = ("password", "secret_arn", "auth")


LONGEST_S = 86_400.0  # a day: RDS Proxy ends every connection by then


_A_TIME = (lambda s: 0 < s <= LONGEST_S, "must be more than 0 seconds, and at most a day")
_A_TIME_OR_NONE = (lambda s: 0 <= s <= LONGEST_S, "must be 0 seconds or more, and at most a day")
_CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "port": (lambda port: 0 < port < 65536, "a port is between 1 and 65535"),
    "auth": (lambda auth: auth in (None, IAM), "must be iam or left out"),
    "max_sessions": (lambda sessions: sessions > 0, "at least one session is needed"),
    "timeout_s": _A_TIME,
    "connect_timeout_s": _A_TIME,
    "margin_s": _A_TIME_OR_NONE,
    "max_result_mb": (lambda mb: 1 <= mb <= 10_240, "must be 1 to 10240, which is Lambda's limit"),
    "fresh_s": _A_TIME_OR_NONE,
    "probe_s": _A_TIME_OR_NONE,
    "idle_timeout_s": _A_TIME,
    "lifetime_s": _A_TIME,
    "cap": (lambda cap: cap is None or cap > 0, "at least one session is needed"),
    "cap_name": (bool, "must name what is capped, the same in every function that shares it"),
    "cap_lease_s": (lambda s: 20 <= s <= LONGEST_S, "must be 20 seconds to a day"),
}
_SWITCH = {"1": True, "0": False}
_PARSERS: dict[str, Callable[[str], Any]] = {
    "port": int,
    "max_sessions": int,
    "max_result_mb": float,
    "cap": int,
    "cap_when_unreachable": WhenUnreachable,
    "flavour": Flavour,
    "guard": GuardMode,
    "strict": lambda text: _SWITCH[text],
    "tls": Tls,
}


def variable(attribute: str) -> str:
    """Return the environment variable that sets this attribute of Settings."""
    return PREFIX + attribute.upper()


def example(attribute: str) -> str:
    """Return a line that would set this attribute, as an example."""
    return f"{variable(attribute)}={_EXAMPLES[attribute]}"


def _read(attribute: str, text: str) -> object:
    parse = _PARSERS.get(attribute) or (float if attribute.endswith("_s") else str)
    try:
        value: object = parse(text)
    except (ValueError, KeyError):
        wanted = (
            " or ".join(repr(member.value) for member in parse)
            if isinstance(parse, type) and issubclass(parse, Enum)
            else {"int": "a whole number", "float": "a number"}.get(parse.__name__, "'1' or '0'")
            + (" of seconds" if attribute.endswith("_s") else "")
        )
        raise ConfigurationError(
            f"{variable(attribute)}={text!r}: expected {wanted}, for example {example(attribute)}"
        ) from None
    return value


def _refuse_unknown(given: Mapping[str, str], known: Mapping[str, str]) -> None:
    for name in given:
        if name not in known:
            import difflib  # late for its weight

            near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
            raise ConfigurationError(
                f"{name} is not a setting; did you mean {near}? For example {example(known[near])}"
            )


def _refuse_missing(values: Mapping[str, object]) -> None:
    if "secret_arn" in values:
        return
    missing = [name for name in _REQUIRED if name not in values]
    if not any(way in values for way in _WAYS_IN):
        missing.append("password")
    if missing:
        instead = "; BROKER_SECRET_ARN or BROKER_AUTH=iam may stand for BROKER_PASSWORD"
        raise ConfigurationError(
            f"{' and '.join(variable(name) for name in missing)} missing from the environment; "
            f"for example {' '.join(example(name) for name in missing)}"
            f"{instead if 'password' in missing else ''}"
        )


def _refuse_lone_port(*, given: bool) -> None:
    """Let a host and its port come from the same place."""
    if given:
        raise ConfigurationError(
            "BROKER_PORT is given without BROKER_HOST: give both, or neither where the secret "
            "has its host and port"
        )


def _lambda_name(environ: Mapping[str, str]) -> str:
    """Return function:version, which pg_stat_activity shows; PostgreSQL keeps 63 bytes of it.

    The same for all environments of one version: PgBouncer sends a SET of its own whenever a
    backend passes between clients whose names differ (FACTS 6).
    """
    name = environ["AWS_LAMBDA_FUNCTION_NAME"]
    version = environ.get("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
    return f"{name[: 62 - len(version)]}:{version}"
