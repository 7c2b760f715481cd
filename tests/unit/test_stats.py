"""What happens is counted once in the totals and once in the tally."""

from __future__ import annotations

import threading

from broker.reuse import Reason
from broker.stats import TIMINGS_KEPT, Recorder


def stats(recorder: Recorder):
    return recorder.stats(sessions_open=2, sessions_idle=1)


def test_totals_are_since_the_beginning_and_tallies_since_the_last_take():
    recorder = Recorder()
    recorder.count("reused")
    recorder.connected(3.0)
    first = recorder.take()
    recorder.count("reused")
    second = recorder.take()

    assert first.counts == {"reused": 1, "opened": 1}
    assert second.counts == {"reused": 1}
    assert recorder.take().counts == {}
    assert (stats(recorder).reused, stats(recorder).opened) == (2, 1)


def test_sessions_are_counted_as_they_are_told():
    assert stats(Recorder())[:2] == (2, 1)


def test_retired_sessions_are_counted_by_reason():
    recorder = Recorder()
    for reason in (Reason.LEAKED, Reason.LEAKED, Reason.CLOSED):
        recorder.replaced(reason)

    assert stats(recorder).replaced == {Reason.LEAKED: 2, Reason.CLOSED: 1}
    assert recorder.take().replaced == {Reason.LEAKED: 2, Reason.CLOSED: 1}
    assert recorder.take().replaced == {}


def test_stats_are_a_snapshot_that_later_events_do_not_change():
    recorder = Recorder()
    before = stats(recorder)
    recorder.replaced(Reason.LEAKED)
    recorder.count("leaks")

    assert before.replaced == {}
    assert before.leaks == 0


def test_no_more_timings_are_kept_than_one_metric_takes():
    recorder = Recorder()
    for n in range(TIMINGS_KEPT + 50):
        recorder.connected(n)
        recorder.waited(n)
    tally = recorder.take()

    assert len(tally.connect_ms) == len(tally.checkout_wait_ms) == TIMINGS_KEPT
    assert tally.counts["opened"] == TIMINGS_KEPT + 50


def test_nothing_is_lost_when_threads_count_at_once():
    recorder = Recorder()
    taken = []

    def count() -> None:
        for _ in range(500):
            recorder.count("reused")
            taken.append(recorder.take().counts["reused"])

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(taken) == stats(recorder).reused == 2000
