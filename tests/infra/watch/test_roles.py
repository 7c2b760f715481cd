"""Monitor and reaper have roles that are no other broker's, with names that PostgreSQL keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from infra.roles import NAME_BYTES, Watchers
from infra.watch_settings import ROLE
from tests.infra.conftest import toml

STACK = st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,127}", fullmatch=True)
BROKER = st.builds("{}/{}".format, STACK, st.text(min_size=1))


def test_a_name_says_whose_it_is() -> None:
    """It is the same at each synthesis: another name would be another role."""
    assert Watchers.of("orders-broker/Broker") == Watchers(
        "broker_monitor_orders_broker_2303f4fc", "broker_reaper_orders_broker_2303f4fc"
    )


@given(BROKER)
def test_a_name_is_one_that_postgresql_does_not_cut_off(broker: str) -> None:
    watchers = Watchers.of(broker)
    for name in (watchers.monitor, watchers.reaper):
        assert len(name.encode()) <= NAME_BYTES
        assert ROLE.fullmatch(name)
    assert watchers.monitor != watchers.reaper


@given(BROKER, BROKER)
def test_two_brokers_share_none(one: str, other: str) -> None:
    """However alike they are: as Orders and orders, or names that are cut off."""
    if one != other:
        assert Watchers.of(one).monitor != Watchers.of(other).monitor
        assert Watchers.of(one).reaper != Watchers.of(other).reaper


def test_a_name_that_is_given_goes_over_it() -> None:
    assert Watchers.of("s/Broker", monitor="eyes") == Watchers(
        "eyes", Watchers.of("s/Broker").reaper
    )


def users(template: dict[str, Any]) -> set[str]:
    found = set()
    for each in template["Resources"].values():
        variables = each.get("Properties", {}).get("Environment", {}).get("Variables", {})
        if "SERVER" in variables:
            found.add(variables["BROKER_USER"])
    return found


def test_two_stacks_on_one_server_have_four_and_one_that_is_nested_has_its_own(
    flags: dict[str, Any], tmp_path: Path
) -> None:
    from aws_cdk import App, NestedStack

    from infra.settings import read_settings
    from infra.signals import path_of
    from infra.stack import BrokerStack

    found: list[set[str]] = []
    for name in ("orders", "billing"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "broker.toml").write_text(
            toml("direct", deploy=f'name = "{name}"', broker="cap = 50")
        )
        app = App(context={**flags, "aws:cdk:bundling-stacks": []}, outdir=str(folder / "out"))
        stack = BrokerStack(app, read_settings({}, folder))
        nested = NestedStack(stack, "Nested")
        assert path_of(stack.broker) == f"{name}/Broker"
        assert path_of(nested).startswith(f"{name}/Nested")
        assembly = app.synth()
        found.append(users(assembly.get_stack_by_name(name).template))
    assert [len(each) for each in found] == [2, 2]
    assert found[0].isdisjoint(found[1])
