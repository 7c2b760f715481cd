"""What queueing says about this deployment: is each pool large enough for its rate."""

from __future__ import annotations

from collections.abc import Sequence

from broker.plan import queueing
from broker.plan.deployment import Application, Deployment, Flavour
from broker.plan.draft import Draft, Limit


def add_waiting(draft: Draft, deployment: Deployment) -> None:
    """Write down what each queue needs, and refuse a pool that is too small for it.

    A queue is a pool in one process; its applications' rate is spread over the processes. Behind
    RDS Proxy there is one; with no pooler nobody waits for a session.
    """
    middle = deployment.middle
    busy = [each for each in deployment.applications if each.rate_per_s]
    if middle.flavour is Flavour.DIRECT:
        return
    if middle.flavour is Flavour.RDS_PROXY:
        _add_queue(draft, deployment, "proxy", busy, "active_sessions", 1)
        return
    for pair in middle.pairs:
        mine = [each for each in busy if each.pair == pair]
        queues = middle.tasks * middle.processes
        _add_queue(draft, deployment, str(pair), mine, "default_pool_size", queues)
        if mine and middle.tasks > 1:
            _add_failure(draft, deployment, str(pair))


def _add_failure(draft: Draft, deployment: Deployment, name: str) -> None:
    """Write down the load on each pool while one task is gone; say so where it is too small."""
    numbers, middle = draft.numbers, deployment.middle
    servers, left = int(numbers["default_pool_size"]), middle.tasks - 1
    load = numbers[f"load.{name}"] * middle.tasks / left
    numbers.real(
        f"utilisation_one_gone.{name}",
        load / servers * 100,
        "%",
        f"{load:g} / {servers}: {left} of {middle.tasks} tasks carry it all",
        f"load.{name}",
        "default_pool_size",
    )
    if load >= servers:
        draft.notes.append(
            f"With one task gone {name} needs {load:.1f} sessions of {servers} in each pool: "
            "requests wait until a new task is up, and some time out. A larger pool, or more "
            "tasks, would carry it."
        )


def _add_queue(
    draft: Draft,
    deployment: Deployment,
    name: str,
    busy: Sequence[Application],
    size: str,
    queues: int,
) -> None:
    if not busy:
        return
    numbers, middle = draft.numbers, deployment.middle
    servers = int(numbers[size])
    total = sum(each.rate_per_s for each in busy)
    mean_s = sum(each.rate_per_s * each.mean_s for each in busy) / total
    spread = queueing.spread([(each.rate_per_s, each.mean_s, each.p99_s) for each in busy])
    rate = numbers.real(
        f"rate.{name}", total / queues, "/s", f"{total:g} /s over {queues} processes"
    )
    numbers.real(f"mean.{name}", mean_s * 1000, "ms", "weighted by the rates")
    numbers.real(
        f"spread.{name}",
        spread,
        "",
        "(1 + cv²) / 2 of the mixture of times; waits grow by it, never less than 1",
        source="Allen and Cunneen; 1 is M/M/c",
    )
    load = numbers.real(
        f"load.{name}",
        rate * mean_s,
        "sessions",
        f"{rate:g} /s × {mean_s * 1000:g} ms",
        f"rate.{name}",
        f"mean.{name}",
    )
    inputs = (f"load.{name}", f"spread.{name}")
    needed = numbers.whole(
        f"needed.{name}",
        queueing.servers_needed(load, mean_s, middle.wait_s, middle.wait_chance, spread),
        "sessions",
        f"fewest with which at most {middle.wait_chance:.2%} wait longer than "
        f"{middle.wait_s * 1000:g} ms",
        *inputs,
        source="Erlang C",
    )
    numbers.real(
        f"utilisation.{name}", load / servers * 100, "%", f"{load:g} / {servers}", *inputs, size
    )
    if needed > servers:
        draft.refuse(
            Limit.WAITING,
            needed * queues,
            servers * queues,
            f"{name}: {rate:g} requests a second of {mean_s * 1000:g} ms in each of {queues} "
            f"queues need {needed:,} sessions there, so that at most {middle.wait_chance:.2%} wait "
            f"longer than {middle.wait_s * 1000:g} ms; the pool has {servers}",
        )
        return
    numbers.real(
        f"waiting.{name}",
        queueing.erlang_c(load, servers) * 100,
        "%",
        f"of arrivals wait with {servers} sessions",
        *inputs,
        size,
        source="Erlang C",
    )
    late = queueing.waits_longer(load, servers, mean_s, middle.wait_s, spread)
    numbers.real(
        f"waiting_long.{name}",
        late * 100,
        "%",
        f"of arrivals wait longer than {middle.wait_s * 1000:g} ms, with {servers} sessions",
        *inputs,
        size,
        source="Erlang C",
    )
    numbers.real(
        f"wait_p99.{name}",
        queueing.wait_p99(load, servers, mean_s, spread) * 1000,
        "ms",
        f"99 of 100 wait less, with {servers} sessions",
        *inputs,
        size,
        source="Erlang C",
    )
