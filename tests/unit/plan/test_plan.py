"""The reference's numbers come out, and what does not fit is refused with what would."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from broker.cap.lease import Terms
from broker.cap.limits import Limits, refuse_unsafe
from broker.errors import CapUnsafe, UsageError
from broker.plan import DoesNotFit, Plan, instances, make_plan, parse, read
from broker.plan.changes import _more_connections
from broker.plan.memory import raise_costs
from broker.settings import Settings

ROOT = Path(__file__).parents[3]
PODS = "".join(
    f'[[services]]\nname = "{name}"\ninstances = 10\nsessions = 20\n'
    for name in ("web", "api", "jobs")
)
DIRECT = '[database]\nmax_connections = 100\n[broker]\nflavour = "direct"\ntasks = 1\n' + PODS


def plan_of(text: str) -> Plan:
    return make_plan(parse(text))


def refusal_of(text: str) -> DoesNotFit:
    with pytest.raises(DoesNotFit) as caught:
        plan_of(text)
    return caught.value


def test_the_references_example_is_refused_with_its_arithmetic() -> None:
    refusal = refusal_of(DIRECT)
    [excess] = refusal.excesses
    assert (excess.needed, excess.available) == (3 * 10 * 20 * 2 + 10, 100)
    assert "1,110 too many" in str(refusal)


def test_the_first_way_out_is_the_references_pooler() -> None:
    way = refusal_of(DIRECT).ways[0]
    made = make_plan(way.deployment)
    values = {
        "default_pool_size": 25,
        "reserve_pool_size": 5,
        "reserve_pool_timeout": 3,
        "max_client_conn": 2000,
        "alarm_sessions": 80,
    }
    assert {name: made.whole(name) for name in values} == values
    assert made.whole("sessions_at_worst") == 2 * 30 + 10


def test_the_shortest_list_is_one_change_where_one_is_enough() -> None:
    assert {len(way.changes) for way in refusal_of(DIRECT).ways} == {1}


def test_two_things_wrong_take_two_changes() -> None:
    functions = '[[functions]]\nname = "f"\nconcurrency = 2000\nrate = "4000 /s"\nmean = "10 ms"\n'
    refusal = refusal_of("[database]\nmax_connections = 200\n" + functions)
    assert {excess.limit.value for excess in refusal.excesses} == {"waiting", "concurrency"}
    best = refusal.ways[0]
    assert len(best.changes) == 2
    assert "broker.active_sessions" in str(best)
    assert "account.concurrency" in str(best)


def test_a_mild_change_is_proposed_before_a_harsh_one_is() -> None:
    """Twenty sessions a pod become the most that fit, not one."""
    text = '[database]\nmax_connections = 100\n[broker]\nflavour = "direct"\n'
    text += '[[services]]\nname = "web"\ninstances = 4\nsessions = 20\n'
    ways = [str(way) for way in refusal_of(text).ways]
    assert any("sessions of web 20 → 11." in way for way in ways)  # 4 × 2 × 11 = 88 of 90


def test_raising_100_to_500_costs_4_gb() -> None:
    deployment = parse(DIRECT)
    assert raise_costs(deployment, 500) == 4 * 10**9
    assert "100 → 500, which costs 4 GB more" in _more_connections(deployment, 400).sentence


def test_memory_refuses_what_max_connections_allows() -> None:
    text = '[database]\nmax_connections = 2000\nmemory = "8 GiB"\n[broker]\nflavour = "direct"\n'
    refusal = refusal_of(text + PODS)
    assert [excess.limit.value for excess in refusal.excesses] == ["memory"]


def test_a_pool_too_small_for_its_rate_is_refused_with_what_it_needs() -> None:
    text = '[database]\nmax_connections = 400\n[broker]\ntasks = 1\n[[functions]]\nname = "f"\n'
    refusal = refusal_of(text + 'concurrency = 90\nrate = "300 /s"\nmean = "100 ms"\n')
    [excess] = refusal.excesses
    assert excess.limit.value == "waiting"
    assert excess.needed > 30 > excess.available == 25
    assert "active_sessions" in str(refusal.ways[0])


def test_the_proxy_keeps_its_minimum_and_counts_it() -> None:
    plan = plan_of('[database]\nmax_connections = 400\n[broker]\nflavour = "rds-proxy"\n')
    assert plan.whole("max_connections_percent") == 35
    assert plan.whole("sessions_at_worst") == 140 + 10


def test_the_cap_bounds_functions_and_not_services() -> None:
    text = DIRECT.replace("tasks = 1", "cap = 20").replace("instances = 10", "instances = 1")
    text = text.replace("sessions = 20", "sessions = 2") + '[[functions]]\nname = "f"\n'
    assert plan_of(text + "concurrency = 500\n").whole("sessions_at_worst") == 20 + 12 + 10


def test_what_stays_unreserved_is_at_least_a_hundred() -> None:
    text = '[database]\nmax_connections = 100\n[[functions]]\nname = "f"\nconcurrency = '
    assert plan_of(text + "900").whole("unreserved_concurrency") == 100
    assert refusal_of(text + "901").excesses[0].limit.value == "concurrency"


@pytest.mark.parametrize(
    ("name", "aurora", "limit"),
    [
        ("db.t3.medium", True, 420),
        ("db.t4g.medium", True, 405),
        ("db.r5.large", True, 1600),
        ("db.r6g.large", True, 1722),
        ("db.r6g.xlarge", True, 3479),
        ("db.r7g.2xlarge", True, 5000),
        ("db.r6g.16xlarge", False, 5000),
    ],
)
def test_instance_classes_have_the_listed_limits(name: str, aurora: bool, limit: int) -> None:
    assert instances.provisioned(name, aurora=aurora).max_connections == limit


def test_the_formula_is_not_above_nominal_memory() -> None:
    for name, (_, gib) in instances.SIZES.items():
        nominal = min(gib * 2**30 // 9531392, 5000)
        assert instances.provisioned(name, aurora=False).max_connections <= nominal


@pytest.mark.parametrize(("acu", "limit"), [(1, 189), (4, 823), (8, 1669), (9.5, 1669), (64, 5000)])
def test_serverless_counts_by_its_most_acu_rounded_down(acu: float, limit: int) -> None:
    assert instances.serverless(1, acu).max_connections == limit


def test_serverless_that_may_shrink_to_half_an_acu_has_2000_at_most() -> None:
    assert instances.serverless(0.5, 64).max_connections == 2000


def test_both_flavours_cost_side_by_side_and_prices_can_be_overridden() -> None:
    text = "[database]\nmax_connections = 100\nvcpus = {}\n"
    small, large = plan_of(text.format(2)), plan_of(text.format(16))
    crossover = small.whole("cost_crossover")
    assert small["cost_rds_proxy"].value == 21.9  # 2 × 0.015 × 730
    assert small["cost_pgbouncer"].value > small["cost_rds_proxy"].value
    assert large["cost_pgbouncer"].value < large["cost_rds_proxy"].value
    assert 2 < crossover <= 16
    at = plan_of(text.format(crossover))
    assert at["cost_pgbouncer"].value < at["cost_rds_proxy"].value
    free = plan_of(text.format(2) + "[prices]\nrds_proxy_vcpu = 0\n")
    assert free["cost_rds_proxy"].value == 0


def test_every_number_explains_itself_down_to_what_was_given() -> None:
    plan = read_example()
    for number in plan.numbers:
        assert number.how
        assert plan.explain(number.name)[0] == (0, number)
    told = [number.name for _, number in plan.explain("sessions_at_worst")]
    assert {"default_pool_size", "max_connections", "reserved.superuser"} <= set(told)


def test_a_number_that_is_not_there_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean default_pool_size"):
        read_example()["default_pool_sise"]


def test_the_example_in_the_repository_has_the_demos_numbers() -> None:
    plan = read_example()
    assert plan.whole("max_connections") == 100
    assert plan.whole("default_pool_size") == 25
    assert plan.whole("reserve_pool_size") == 5
    assert plan.whole("max_client_conn") == 2000


def read_example() -> Plan:
    return make_plan(read(ROOT / "broker.toml"))


def test_the_clients_idle_limit_is_the_librarys_own() -> None:
    plan = read_example()
    assert plan.whole("client_idle") == Settings("h", "d", "u", "p").idle_timeout_s


def test_a_refusal_survives_pickling() -> None:
    refusal = refusal_of(DIRECT)
    assert str(pickle.loads(pickle.dumps(refusal))) == str(refusal)


def test_with_two_tasks_each_holds_all_clients_since_the_other_may_be_gone() -> None:
    text = "[database]\nmax_connections = 200\n[broker]\ntasks = {}\n"
    text += '[[services]]\nname = "s"\ninstances = 3500\noverlap = 1\n'
    assert plan_of(text.format(2)).whole("max_client_conn") == 4000
    assert plan_of(text.format(5)).whole("max_client_conn") == 2000  # 3,510 / 4 left × 2


def test_processes_of_an_environment_each_hold_sessions() -> None:
    """Managed Instances run several processes in an environment."""
    text = '[database]\nmax_connections = 500\n[broker]\nflavour = "direct"\n[[functions]]\n'
    text += 'name = "f"\nconcurrency = 3\nprocesses = 16\nsessions = 2\n'
    plan = plan_of(text)
    assert plan.whole("held.f") == 3 * 2 * 16 * 2
    assert plan.whole("sessions_at_worst") == 192 + 10
    assert "16 processes" in plan["held.f"].how


@pytest.mark.parametrize("timeout_s", [2, 30, 900])
def test_the_caps_lease_outlives_every_session(timeout_s: int) -> None:
    """A role with the plan's own timeouts is safe under the plan's own lease."""
    text = DIRECT.replace("tasks = 1", "cap = 20").split("[[services]]")[0]
    text += f'[[functions]]\nname = "f"\nconcurrency = 50\ntimeout = "{timeout_s} s"\n'
    plan = plan_of(text)
    limits = Limits(
        plan.whole("idle_session_timeout"),
        plan.whole("idle_in_transaction_session_timeout"),
        plan.whole("statement_timeout"),
        0,
    )
    refuse_unsafe(limits, timeout_s, Terms("sessions", 20, plan.whole("cap_lease")), "app")
    with pytest.raises(CapUnsafe):
        refuse_unsafe(limits, timeout_s, Terms("sessions", 20, 300), "app")


def test_what_the_flavour_has_no_use_for_is_said() -> None:
    text = "[database]\nmax_connections = 100\n[broker]\ncap = 20\nproxy_minimum_percent = 20\n"
    notes = "\n".join(plan_of(text).notes)
    assert 'broker.cap bounds nothing with flavour = "pgbouncer": it is for "direct"' in notes
    assert "broker.proxy_minimum_percent bounds nothing" in notes
    assert not any("bounds nothing" in note for note in read_example().notes)


def test_a_pool_that_cannot_carry_a_lost_task_says_so() -> None:
    text = "[database]\nmax_connections = 200\n[broker]\nwait_chance = 0.3\n[[functions]]\n"
    text += 'name = "f"\nconcurrency = 90\nrate = "{} /s"\nmean = "10 ms"\n'
    calm, busy = plan_of(text.format(500)), plan_of(text.format(1500))
    assert calm["utilisation_one_gone.appdb/app"].value < 100
    assert busy["utilisation_one_gone.appdb/app"].value > 100
    assert [note for note in busy.notes if note.startswith("With one task gone")]
    assert not [note for note in calm.notes if note.startswith("With one task gone")]
