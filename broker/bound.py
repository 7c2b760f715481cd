"""Whether the deadline rides with a statement: one rule.

A statement that outlives its caller keeps a backend busy, so the server is told when to stop it:
`set_config('statement_timeout', …, true)` in the same flight, which costs no round trip and is
gone with the transaction, but costs the server some 40 µs. It is left out while what the server
already enforces would stop the statement at most SLACK_MS after the deadline. What it enforces
(`alter role … set statement_timeout`) is read along with the first bound that rides in a session.
Under `rds-proxy` nothing rides: set_config would pin the session (RDS User Guide, "Avoiding
pinning an RDS Proxy"), so there the role's
own statement_timeout is the bound.
"""

from __future__ import annotations

import re

SLACK_MS = 1000  # how much longer than its caller a statement may run on the server
LEAD_MS = 50  # the server stops before the client gives up, so that its answer still arrives
MAX_MS = 2_147_483_647  # statement_timeout is an int4

EXACT_DIGITS = 1
"""extra_float_digits from which on a float's text is exact (PostgreSQL manual, 19.11.2)."""
_SELECT = b"select "
_ASK_FOR_DIGITS = (
    b"current_setting('extra_float_digits'),set_config('extra_float_digits',"
    b"greatest(current_setting('extra_float_digits')::int,1)::text,true)"
)
_SET_DIGITS = b"set_config('extra_float_digits','1',true)"

_UNIT_MS = {"ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}
_SETTING = r"(\d+)(ms|s|min|h|d)?"


def riding_ms(remaining_s: float, in_force_ms: int | None) -> int | None:
    """Return the statement_timeout that must ride, in ms, or None where none is needed.

    `in_force_ms` is what the server enforces without it: 0 for nothing, None for not known.
    """
    remaining_ms = remaining_s * 1000
    if remaining_ms > MAX_MS:
        return None
    if in_force_ms and in_force_ms <= remaining_ms + SLACK_MS:
        return None
    return max(1, int(remaining_ms) - LEAD_MS)


def riding_sql(bound_ms: int, *, known: bool) -> bytes:
    """Return the statement that rides.

    Where it is not `known` what is in force, it is the first column, and a lower one is kept.
    """
    if known:
        return b"select set_config('statement_timeout','%d',true)" % bound_ms
    return (
        b"select current_setting('statement_timeout'),set_config('statement_timeout',"
        b"least(nullif(extract(epoch from current_setting('statement_timeout')::interval)*1000,0)"
        b",%d)::int::text,true)" % bound_ms
    )


def prefix_sql(
    bound_ms: int | None, *, known: bool, asks_for_digits: bool, sets_digits: bool
) -> bytes | None:
    """Return the statement that is sent ahead of another one, or None where none is needed.

    It bounds the transaction by `bound_ms`, and sees to it that floats come with all their digits
    where a role or a database says otherwise. Its row ends, with `asks_for_digits`, in the
    setting that was in force and the new one.
    """
    columns = [] if bound_ms is None else [riding_sql(bound_ms, known=known).removeprefix(_SELECT)]
    if asks_for_digits:
        columns.append(_ASK_FOR_DIGITS)
    elif sets_digits:
        columns.append(_SET_DIGITS)
    return _SELECT + b",".join(columns) if columns else None


def standing_sql(bound_ms: int | None) -> bytes:
    """Return the statement that bounds every further one of a session, 0 for no bound, and has
    floats come with all their digits.
    """
    digits = _ASK_FOR_DIGITS.removesuffix(b"true)") + b"false)"
    return b"select set_config('statement_timeout','%d',false),%b" % (bound_ms or 0, digits)


def milliseconds(setting: str) -> int:
    """Return PostgreSQL's rendering of a time setting, such as 0, 1500ms or 30s, in ms."""
    match = re.fullmatch(_SETTING, setting)
    if not match:
        raise ValueError(f"{setting!r} is not a time that PostgreSQL renders")
    return int(match[1]) * _UNIT_MS[match[2] or "ms"]
