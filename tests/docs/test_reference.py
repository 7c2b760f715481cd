"""The reference is whole: every key, command, option and public name is in it."""

from __future__ import annotations

import re
from dataclasses import fields

from handbook import api, commands

import broker
from broker.cli.commands import MODULES, group
from broker.plan import parse
from broker.plan.parse import BROKER, DATABASE, OF_THE_KIND, TOP
from broker.plan.prices import Prices

from .pages import DOCS

TABLES = {
    "[database]": set(DATABASE),
    "[broker]": set(BROKER),
    "[[functions]] and [[services]]": {key for keys in OF_THE_KIND.values() for key in keys},
    "[[reserved]]": {"name", "sessions", "reason"},
    "[account]": {"concurrency"},
    "[prices]": {each.name for each in fields(Prices)},
}


def told() -> dict[str, list[str]]:
    """Return the rows below each heading of the page of broker.toml."""
    sections = (DOCS / "broker-toml.md").read_text().split("\n## ")[1:]
    return {
        section.partition("\n")[0]: re.findall(r"^\| (`.*) \|$", section, re.MULTILINE)
        for section in sections
    }


def test_every_table_and_key_of_broker_toml_is_documented_and_nothing_else_is() -> None:
    assert set(told()) == set(TABLES)
    named = {name for title in TABLES for name in re.findall(r"\w+", title)} - {"and"}
    assert named == set(TOP) - {"deploy"}
    for title, rows in told().items():
        keys = {key for row in rows for key in re.findall(r"`(\w+)`", row.split(" | ")[0])}
        assert keys == TABLES[title], title


def test_the_defaults_that_the_page_says_are_the_deployment_s() -> None:
    lines = []
    for title in ("[database]", "[broker]"):
        lines.append(title)
        for row in told()[title]:
            key, default, *_ = (cell.strip(" |`") for cell in row.split(" | "))
            if re.fullmatch(r'"[^"]*"|\[.*\]|[\d.]+', default):
                lines.append(f"{key} = {default}")
    assert len(lines) > 8
    said = parse("\n".join([*lines, ""]).replace("[database]", "[database]\nmax_connections = 100"))
    assert said == parse("[database]\nmax_connections = 100\n")


def test_every_command_and_each_of_its_options_is_on_the_page() -> None:
    page = commands.page()
    for name in MODULES:
        section = page.partition(f"## broker {name}\n")[2].partition("\n## ")[0]
        command = group.get_command(None, name)  # type: ignore[arg-type]
        assert command is not None
        for parameter in command.params:
            for option in parameter.opts:
                assert option in section or not option.startswith("-"), f"{name} {option}"


def test_every_public_name_is_on_the_page_of_the_api() -> None:
    page = api.page()
    ours = {
        name
        for name in broker.__all__
        if not name.startswith("_") and not name.endswith("Error") and name[0].isupper()
    }
    errors = {
        name
        for name in ours
        if isinstance(getattr(broker, name), type)
        and issubclass(getattr(broker, name), broker.BrokerError)
    }
    for name in ours - errors:
        assert f"### {name}\n" in page, name
    assert "from infra import ConnectionBroker\n" in page  # which the page itself has checked
