"""What fits never exceeds: the plan against a count of every single session, made here anew."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from broker.plan import DoesNotFit, Plan, make_plan, parse

ALWAYS_KEPT = {"superuser": 3, "monitor": 2, "migrations": 1, "people": 2}
KEPT_BY = {
    "postgresql": {},
    "rds-postgresql": {"rds": 2},
    "aurora-postgresql": {"rds": 2, "aws": 3},
}

names = st.sampled_from(["a", "b", "c", "d"])


def application(size_key: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            size_key: st.integers(1, 60),
            **({"processes": st.integers(1, 3)} if size_key == "concurrency" else {}),
            "sessions": st.integers(1, 6),
            "overlap": st.sampled_from([1, 1.25, 1.5, 2, 3]),
        },
        optional={
            "pair": st.sampled_from(["db/x", "db/y"]),
            "timeout": st.sampled_from(["3 s", "30 s"]),
        },
    )


deployments = st.fixed_dictionaries(
    {
        "engine": st.sampled_from(sorted(KEPT_BY)),
        "max_connections": st.integers(5, 900),
        "flavour": st.sampled_from(["direct", "pgbouncer", "rds-proxy"]),
        "tasks": st.integers(1, 6),
        "processes": st.integers(1, 3),
        "overlap": st.sampled_from([1, 1.5, 2]),
        "pairs": st.just(["db/x", "db/y"]) | st.just(["db/x", "db/y", "other/x"]),
        "functions": st.dictionaries(names, application("concurrency"), max_size=3),
        "services": st.dictionaries(
            st.sampled_from(["s", "t"]), application("instances"), max_size=2
        ),
        "reserved": st.dictionaries(st.sampled_from(["people", "etl"]), st.integers(0, 9)),
    },
    optional={
        "pool_size": st.integers(1, 40),
        "reserve_pool_size": st.integers(0, 10),
        "active_sessions": st.integers(1, 60),
        "cap": st.integers(1, 200),
    },
)
WORDS = "flavour tasks processes overlap pairs pool_size reserve_pool_size active_sessions cap"


def toml(value: dict[str, Any]) -> str:
    def said(item: object) -> str:
        if isinstance(item, list):
            return f"[{', '.join(map(said, item))}]"
        return f'"{item}"' if isinstance(item, str) else str(item)

    lines = ["[database]", f'engine = "{value["engine"]}"']
    lines += [f"max_connections = {value['max_connections']}", "[broker]"]
    lines += [f"{key} = {said(value[key])}" for key in WORDS.split() if key in value]
    for kind in ("functions", "services"):
        for name, keys in value[kind].items():
            lines += [f"[[{kind}]]", f'name = "{name}"']
            lines += [f"{key} = {said(item)}" for key, item in keys.items()]
    for name, sessions in value["reserved"].items():
        lines += ["[[reserved]]", f'name = "{name}"', f"sessions = {sessions}", 'reason = "why"']
    return "\n".join(lines)


def everybody(value: dict[str, Any], plan: Plan) -> list[str]:
    """Return a name for each session that anybody can have open at the worst moment."""
    kept = {**ALWAYS_KEPT, **KEPT_BY[value["engine"]], **value["reserved"]}
    found = [name for name, sessions in kept.items() for _ in range(sessions)]
    if value["flavour"] == "pgbouncer":
        tasks = 0
        while tasks < value["tasks"] * value["overlap"]:  # ECS starts no half task
            tasks += 1
            for process, pair in itertools.product(range(value["processes"]), value["pairs"]):
                for kind in ("default_pool_size", "reserve_pool_size"):
                    found += [f"{tasks} {process} {pair} {kind}"] * plan.whole(kind)
    elif value["flavour"] == "rds-proxy":
        percent = plan.whole("max_connections_percent")
        while (len(found) - sum(kept.values())) * 100 < percent * value["max_connections"]:
            found.append("proxy")
    else:
        functions = held(value["functions"], "concurrency")
        found += functions[: value.get("cap")] + held(value["services"], "instances")
    return found


def held(applications: dict[str, Any], size_key: str) -> list[str]:
    found = []
    for name, keys in applications.items():
        environments = 0
        while environments < keys[size_key] * keys["overlap"]:
            environments += 1
            for process in range(keys.get("processes", 1)):
                found += [f"{name} {environments} {process}"] * keys["sessions"]
    return found


@settings(max_examples=400, deadline=None)
@given(deployments)
def test_what_fits_never_exceeds(value: dict[str, Any]) -> None:
    try:
        plan = make_plan(parse(toml(value)))
    except DoesNotFit as refusal:
        assert refusal.excesses
        return
    worst = len(everybody(value, plan))
    assert worst <= value["max_connections"]
    assert worst == plan.whole("sessions_at_worst")


@settings(max_examples=100, deadline=None)
@given(deployments)
def test_every_way_out_of_a_refusal_does_fit(value: dict[str, Any]) -> None:
    try:
        make_plan(parse(toml(value)))
    except DoesNotFit as refusal:
        for way in refusal.ways:
            made = make_plan(way.deployment)
            assert made.whole("sessions_at_worst") <= made.whole("max_connections")


@settings(max_examples=100, deadline=None)
@given(deployments)
def test_pools_have_a_session_and_limits_cover_them(value: dict[str, Any]) -> None:
    try:
        plan = make_plan(parse(toml({**value, "flavour": "pgbouncer"})))
    except DoesNotFit:
        return
    pool, reserve = plan.whole("default_pool_size"), plan.whole("reserve_pool_size")
    assert pool >= 1
    for user in ("x", "y"):
        mine = sum(pair.endswith(f"/{user}") for pair in value["pairs"])
        assert plan.whole(f"max_user_connections.{user}") == mine * (pool + reserve)
    steady = value["tasks"] * value["processes"] * len(value["pairs"])
    assert steady * pool <= plan.whole("active_sessions") <= 50


@settings(max_examples=100, deadline=None)
@given(deployments)
def test_one_task_gone_leaves_room_for_every_client(value: dict[str, Any]) -> None:
    try:
        plan = make_plan(parse(toml({**value, "flavour": "pgbouncer"})))
    except DoesNotFit:
        return
    clients = len(held(value["functions"], "concurrency") + held(value["services"], "instances"))
    left = max(1, value["tasks"] - 1) * value["processes"]
    assert left * plan.whole("max_client_conn") >= clients


@settings(max_examples=100, deadline=None)
@given(deployments)
def test_timeouts_are_in_the_order_that_works(value: dict[str, Any]) -> None:
    try:
        plan = make_plan(parse(toml(value)))
    except DoesNotFit:
        return
    timeouts = {
        name: float(keys.get("timeout", "30 s").removesuffix(" s"))
        for name, keys in [*value["functions"].items(), *value["services"].items()]
    }
    for name, timeout_s in timeouts.items():
        assert plan.whole(f"statement_timeout.{name}") < timeout_s
        for queue in ("query_wait_timeout", "connection_borrow_timeout"):
            assert queue not in plan or plan.whole(queue) < timeout_s
    order = ["client_idle", "client_idle_timeout", "server_idle_timeout", "idle_session_timeout"]
    if value["flavour"] == "rds-proxy":
        order = ["client_idle", "idle_client_timeout", "idle_session_timeout"]
    if value["flavour"] == "direct":
        order = ["client_idle", "idle_session_timeout"]
    limits = [plan.whole(name) for name in order]
    assert limits == sorted(set(limits))
