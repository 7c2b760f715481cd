"""The reaper's rules, out of its environment.

APPLICATIONS and ROLES say whose sessions may be ended: names separated by blanks, in which * and ?
match; both are needed. EXCLUDED names applications and roles that never are. IDLE_S (300) is how
long a session must have idled in its transaction, AT_MOST (10) how many are ended in a run.
Nothing is ended unless END is 1. SERVER is the name that metrics have the server under.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from broker import ConfigurationError
from broker.observe.verdict import AT_MOST, IDLE_S, Policy

SWITCH = {"1": True, "0": False}


@dataclass(frozen=True)
class Rules:
    """Whom to end, whether to, and the server's name."""

    server: str
    policy: Policy
    end: bool

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Rules:
        """Return the rules; ConfigurationError names the variable that is wrong, and an example."""
        end = environ.get("END", "0").strip()
        if end not in SWITCH:
            raise ConfigurationError(f"END={end!r}: expected '1' or '0', for example END=1")
        policy = Policy(
            applications=_names(environ, "APPLICATIONS", "orders:* billing:*"),
            roles=_names(environ, "ROLES", "app"),
            excluded=tuple(environ.get("EXCLUDED", "").split()),
            idle_s=_number(environ, "IDLE_S", IDLE_S),
            at_most=int(_number(environ, "AT_MOST", AT_MOST)),
        )
        server = environ.get("SERVER", "").strip()
        if not server:
            raise ConfigurationError("SERVER is missing: the server's name in metrics")
        return cls(server, policy, SWITCH[end])


def _names(environ: Mapping[str, str], variable: str, example: str) -> tuple[str, ...]:
    names = tuple(environ.get(variable, "").split())
    if not names:
        raise ConfigurationError(
            f"{variable} is missing: whose sessions may be ended, for example {variable}={example}"
        )
    return names


def _number(environ: Mapping[str, str], variable: str, default: float) -> float:
    text = environ.get(variable, "").strip() or str(default)
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 1 <= number <= 1e9:
        raise ConfigurationError(
            f"{variable}={text!r}: expected a number from 1 on, for example {variable}={default:g}"
        )
    return number
