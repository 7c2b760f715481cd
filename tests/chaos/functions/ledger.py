"""The handler under test: it writes into the ledger, and reports what the library told it."""

from __future__ import annotations

import time
from typing import Any

from broker import Broker, BrokerError, OutcomeUnknown, Settings
from broker.deadline import Instant

WRITE = "insert into ledger (token) values (:token) returning token"
SLOW_WRITE = """insert into ledger (token)
    select cast(:token as text) from (select pg_sleep(cast(:work_s as float8))) as work
    returning token"""
LONE_WRITE = SLOW_WRITE.replace("ledger", "ledger /* alone */", 1)
READ = "select cast(:token as text) from (select pg_sleep(cast(:work_s as float8))) as work"


class SettableClock:
    """The machine's clocks, of which the wall's can be set, and the monotonic one leaps ahead or
    does not count the time of a freeze, as that of a frozen environment may.
    """

    sleep = staticmethod(time.sleep)

    def __init__(self):
        self.ahead_s = 0.0  # the wall's
        self.leapt_s = 0.0
        self.leaps = []  # (readings to come, seconds)
        self.rested_s = time.monotonic()

    def monotonic(self):
        if self.leaps:
            readings, seconds = self.leaps.pop()
            if readings:
                self.leaps.append((readings - 1, seconds))
            else:
                self.leapt_s += seconds
        return time.monotonic() + self.leapt_s

    def now(self):
        return Instant(self.monotonic(), time.time() + self.ahead_s)

    def thaw(self, event):
        if event.get("stood_still"):
            self.leapt_s -= time.monotonic() - self.rested_s
        self.leapt_s += event.get("leapt_s", 0.0)
        self.leaps = [event["leap"]] if "leap" in event else []


CLOCK = SettableClock()
db = Broker(Settings.from_env(), clock=CLOCK)


def handler(event, context):
    """Take the event's steps; report of each token what was said, and what was not right."""
    CLOCK.thaw(event)
    try:
        return serve(event, context)
    finally:
        CLOCK.rested_s = time.monotonic()


@db.handler
def serve(event, context):
    CLOCK.ahead_s += event.get("jump_s", 0.0)
    report: dict[str, Any] = {"told": {}, "foreign": [], "raw": []}
    for step in event["steps"]:
        token = step["token"]
        try:
            got = globals()[step["kind"]](token, step, event.get("hang_s", 0.0))
        except OutcomeUnknown as error:
            report["told"][token] = ["unknown", *_named(error)]
        except BrokerError as error:
            report["told"][token] = ["refused", *_named(error)]
        except Exception as error:
            report["told"][token] = ["unreported", *_named(error)]
            report["raw"].append(f"{step['kind']}: {error!r}")
        else:
            report["told"][token] = ["acknowledged"]
            report["foreign"] += [f"{token} got {one}" for one in got if not one.startswith(token)]
    report["sessions"] = db.stats().sessions_open
    report["left_ms"] = context.get_remaining_time_in_millis()
    return report


def _named(error):
    notes = getattr(error, "__notes__", [])
    phase, sqlstate = getattr(error, "phase", None), getattr(error, "sqlstate", None)
    return [type(error).__name__, phase, sqlstate, *notes, str(error)]


def transaction(token, step, hang_s):
    with db.transaction() as tx:
        first = tx.run(SLOW_WRITE, token=f"{token}/1", work_s=step["work_s"]).scalar()
        time.sleep(step["pause_s"] + hang_s)
        second = tx.run(WRITE, token=f"{token}/2").scalar()
    return [first, second]


def run(token, step, _hang_s):
    return [db.run(LONE_WRITE, token=f"{token}/1", work_s=step["work_s"]).scalar()]


def retry(token, step, _hang_s):
    def write(tx):
        first = tx.run(WRITE, token=f"{token}/1").scalar()
        time.sleep(step["pause_s"])
        return [first, tx.run(WRITE, token=f"{token}/2").scalar()]

    return db.retry(write)


def read(token, step, _hang_s):
    try:
        return [db.read(READ, token=token, work_s=step["work_s"]).scalar()]
    except OutcomeUnknown as error:
        raise AssertionError("a read is never unknown") from error
