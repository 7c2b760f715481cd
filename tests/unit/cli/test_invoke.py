"""`broker invoke`: what cannot be invoked is said in a line, before the fleet starts."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from broker import ConfigurationError, Settings
from broker.cli import invoke as command
from broker.cli.commands import Commands
from broker.local.fleet import Invocation, InvocationStatus
from broker.local.invocation import FunctionError


@click.group(cls=Commands)
def group() -> None:
    """Show errors as the real group does."""


group.add_command(command.invoke)


class NoFleet:
    """Stands for a fleet that is not to be started."""

    def __init__(self, **_: object) -> None:
        raise AssertionError("the fleet was started")


class FailingFleet:
    """Answers every invocation with this error."""

    error = FunctionError("KeyError", "'n'")

    def __init__(self, **_: object) -> None: ...
    def __enter__(self) -> FailingFleet:
        return self

    def __exit__(self, *_: object) -> None: ...
    def deploy(self, _: object) -> None: ...
    def invoke(self, *_: object) -> Invocation:
        return Invocation(request_id="1", status=InvocationStatus.ERROR, error=self.error)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(group, ["invoke", *arguments])


@pytest.fixture
def no_fleet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "Fleet", NoFleet)


@pytest.mark.usefixtures("no_fleet")
@pytest.mark.parametrize("module", ["app", "package.app"])
def test_a_module_that_is_not_there_is_a_line_with_the_folder_and_the_option(
    module: str, tmp_path: Path
) -> None:
    result = run(f"{module}.handler", "--code", str(tmp_path))
    [line] = result.stderr.splitlines()
    assert result.exit_code == 2
    assert f"no module {module} in {tmp_path}: there is neither" in line
    assert "name its folder with --code" in line


@pytest.mark.usefixtures("no_fleet")
@pytest.mark.parametrize(
    ("given", "remedy"),
    [
        ("try/app.handler", "app.handler --code try"),
        ("a b/c/app.handler", "app.handler --code 'a b/c'"),
        ("/app.handler", "app.handler --code /"),
    ],
)
def test_a_path_in_the_handlers_place_is_told_where_the_folder_goes(
    given: str, remedy: str
) -> None:
    result = run(given)
    assert result.exit_code == 2
    assert "a handler is module.function" in result.stderr
    assert result.stderr.endswith(f"broker invoke {remedy}\n")


@pytest.mark.usefixtures("no_fleet")
def test_an_event_that_is_a_files_name_is_told_how_to_give_its_content(tmp_path: Path) -> None:
    event = tmp_path / "event.json"
    for text, told in ((str(event), False), ("x" * 5000, False), (str(event), True)):
        said = run("app.handler", "--event", text).stderr
        assert "is not JSON" in said
        assert (f'a file\'s content is given by "$(cat {event})"' in said) is told
        event.write_text("{}")


@pytest.mark.parametrize(
    ("handler", "file"),
    [
        ("app.handler", "app.py"),
        ("app.handler", "app/__init__.py"),
        ("app.part.handler", "app/part.py"),  # no __init__.py: a namespace
        ("app.part.handler", "app/part/__init__.py"),
        ("app.handler", "app.abi3.so"),
        ("json.loads", "other.py"),  # installed, as a layer would be
    ],
)
def test_every_form_of_a_module_reaches_the_fleet(
    handler: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "Fleet", FailingFleet)
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    result = run(handler, "--code", str(tmp_path))
    assert (result.exit_code, result.stderr) == (1, "error: KeyError: 'n'\n")


def test_a_handler_without_its_variables_is_told_where_they_come_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigurationError) as missing:
        Settings.from_env({})
    with pytest.raises(ConfigurationError) as misspelt:
        Settings.from_env({"BROKER_HOTS": "x"})
    (tmp_path / "app.py").touch()
    monkeypatch.setattr(command, "Fleet", FailingFleet)
    for error, told in ((missing.value, True), (misspelt.value, False)):
        failed = FunctionError("ConfigurationError", str(error))
        monkeypatch.setattr(FailingFleet, "error", failed)
        last = run("app.handler", "--code", str(tmp_path)).stderr.splitlines()[-1]
        assert ("`. FILE`, the FILE of `broker up --env-file FILE`" in last) is told
