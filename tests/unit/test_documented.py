"""Every setting, error, metric, reason and command is documented, and what is documented exists."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from pathlib import Path

import pytest

import broker
from broker import errors, metrics
from broker.cli.commands import MODULES
from broker.reuse import Reason
from broker.settings import Flavour, Settings, variable
from broker.sql.hazards import INSTEAD, Hazard

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
REFERENCE = (ROOT / "docs/reference.md").read_text()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
ERRORS = [
    error
    for _, error in inspect.getmembers(errors, inspect.isclass)
    if issubclass(error, broker.BrokerError)
]


def test_every_setting_is_in_the_readme_and_nothing_else_is() -> None:
    documented = set(re.findall(r"`(BROKER_[A-Z_]+)`", README))
    assert documented == {variable(spec.name) for spec in fields(Settings)}


def test_every_default_in_the_readme_is_the_real_one() -> None:
    defaults = {variable(spec.name): spec.default for spec in fields(Settings)}
    for name, told in re.findall(r"^\| `(BROKER_[A-Z_]+)` \| `?([\w.-]+)`? \|", README, re.M):
        default = defaults[name]
        default = getattr(default, "value", default)
        if isinstance(default, float):
            assert float(told) == default, name
        elif isinstance(default, bool):
            assert told == str(int(default)), name
        elif name not in ("BROKER_APPLICATION_NAME",):
            assert told == str(default), name


PARTS = ("what happened", "what the broker did about it", "what to do")


def parts(error: type[broker.BrokerError]) -> list[str]:
    """Return the paragraphs of its docstring."""
    paragraphs = inspect.cleandoc(error.__doc__ or "").split("\n\n")
    return [" ".join(paragraph.split()) for paragraph in paragraphs]


@pytest.mark.parametrize("error", ERRORS)
def test_every_error_says_what_happened_what_was_tried_and_what_to_do(
    error: type[broker.BrokerError],
) -> None:
    assert "__doc__" in vars(error)
    said = parts(error)
    assert len(said) == len(PARTS), f"{PARTS} of {error.__name__}: {said}"
    for part in said:
        assert part[0].isupper(), part
        assert part.endswith("."), part


def test_the_table_of_errors_has_a_column_for_each_part() -> None:
    table = REFERENCE.partition("## Errors")[2]
    header = next(row for row in table.splitlines() if row.startswith("| error |"))
    assert header == f"| error | is a | retryable | {' | '.join(PARTS)} |"


@pytest.mark.parametrize("error", ERRORS)
def test_every_error_is_documented_as_its_docstring_says(error: type[broker.BrokerError]) -> None:
    table = REFERENCE.partition("## Errors")[2]
    line = next(row for row in table.splitlines() if row.startswith(f"| `{error.__name__}` "))
    bases = ", ".join(f"`{base.__name__}`" for base in error.__bases__)
    retryable = "yes" if error.retryable else "no"
    cells = [f"`{error.__name__}`", bases, retryable, *parts(error)]
    assert line == f"| {' | '.join(cells)} |"


def test_every_phase_of_a_deadline_is_documented_and_nothing_else_is() -> None:
    raised = {
        phase
        for source in sorted((ROOT / "broker").rglob("*.py"))
        for phase in re.findall(
            r'DeadlineExceeded\.at\(\s*"(\w+)"|phase="(\w+)"', source.read_text()
        )
    }
    table = REFERENCE.partition("`DeadlineExceeded.phase`")[2]
    documented = re.findall(r"^\| `(\w+)` \|", table, re.M)
    assert set(documented) == {at or given for at, given in raised}
    assert all(phase in inspect.getsource(errors.DeadlineExceeded) for phase in documented)


@pytest.mark.parametrize("error", ERRORS)
def test_every_error_can_be_imported_from_the_package(error: type[broker.BrokerError]) -> None:
    assert getattr(broker, error.__name__) is error
    assert error.__name__ in broker.__all__


def test_every_metric_is_documented_and_nothing_else_is() -> None:
    table = REFERENCE.partition("## Metrics")[2].partition("## Errors")[0]
    documented = set(re.findall(r"^\| `(\w+)` \|", table, re.M))
    emitted = {metrics.REPLACED, metrics.CONNECT_TIME, metrics.CHECKOUT_WAIT}
    assert documented == {*metrics.COUNTS.values(), *emitted}


def test_every_reason_and_flavour_is_documented() -> None:
    for reason in Reason:
        assert f"`{reason.value}`" in REFERENCE
    for flavour in Flavour:
        assert f"`{flavour.value}`" in README


def test_every_hazard_is_documented_with_what_does_the_same() -> None:
    for hazard in Hazard:
        line = next(row for row in REFERENCE.splitlines() if row.startswith(f"| `{hazard.value}` "))
        assert INSTEAD[hazard] in line
        assert ("`pgbouncer`" in line) is not hazard.only_pins


def test_every_command_is_in_the_readme_and_every_command_in_the_pages_exists() -> None:
    for name in MODULES:
        assert f"broker {name}" in README or f"make {name}" in README
    for page in PAGES:
        for name in re.findall(r"(?:\.venv/bin/|`)broker ([a-z]+)", page.read_text()):
            assert name in MODULES, f"{page.name}: broker {name}"


def test_every_make_target_in_the_pages_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for page in PAGES:
        for target in re.findall(r"(?:`|^)make ([a-z]+)", page.read_text(), re.M):
            assert re.search(rf"^{target}:", makefile, re.M), f"{page.name}: make {target}"


def test_every_relative_link_leads_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_version_is_in_the_changelog_or_unreleased() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert f"[{broker.__version__}]" in changelog or "[Unreleased]" in changelog
