"""Setup links the first program that will do, and says what is not shown where there is none."""

from __future__ import annotations

from pathlib import Path

import debian
import pytest
from optional import link

CONSEQUENCE = "the tests of it are skipped"


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # link() changes it, in a process of its own


def nothing(_: Path) -> Path:
    """Fail as a way does."""
    raise debian.SetupError("no apt here\nat all", remedy="sudo apt-get install it")


def version(found: Path) -> str:
    """Accept whatever is there."""
    if not found.exists():
        raise debian.SetupError(f"{found} is gone")
    return "it 1.0"


def test_the_first_that_will_do_is_linked_and_an_older_one_forgotten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = tmp_path / "program"
    program.touch()
    target, why_not = tmp_path / "link", tmp_path / "link.missing"
    target.symlink_to(tmp_path / "older")
    why_not.touch()
    ways = {"first": nothing, "second": lambda _: tmp_path / "gone", "third": lambda _: program}
    assert link(target, ways, version, "it", CONSEQUENCE) == 0
    assert target.readlink() == program
    assert not why_not.exists()
    assert f"it 1.0 (third: {program})" in capsys.readouterr().err


def test_where_there_is_none_setup_goes_on_and_says_what_is_not_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "link"
    assert link(target, {"package": nothing}, version, "it", CONSEQUENCE) == 0
    reason = (tmp_path / "link.missing").read_text().strip()
    assert reason == f"no it here (package: no apt here (sudo apt-get install it)): {CONSEQUENCE}"
    assert reason in capsys.readouterr().err
    assert not target.is_symlink()
