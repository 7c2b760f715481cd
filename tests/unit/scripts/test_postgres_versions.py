"""Setup takes the version asked for, links nothing outside it, and says what is missing."""

from __future__ import annotations

import json
from pathlib import Path

import debian
import postgres_versions as setup
import pytest

DOCTOR = (setup.ROOT / "docs/doctor.md").read_text()


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(setup, "KEPT", tmp_path / "kept")
    monkeypatch.setattr(setup, "TARGET", tmp_path / "postgres")
    return tmp_path


def package(places: Path, major: int, links: list[dict[str, str]]) -> Path:
    made = places / "kept" / "node_modules" / f"postgres-{major}-linux-x64"
    (made / "native" / "lib").mkdir(parents=True)
    (made / "native" / "pg-symlinks.json").write_text(json.dumps(links))
    return made


def test_another_version_than_was_asked_for_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup, "run", lambda *_: "postgres (PostgreSQL) 13.23\n")
    assert setup.accept(Path("/x"), 13) == "13.23"
    with pytest.raises(debian.SetupError, match="it says"):
        setup.accept(Path("/x"), 14)


def test_links_are_made_beside_what_they_name_and_never_outside(places: Path) -> None:
    good = {"source": "native/lib/libpq.so.5.13", "target": "native/lib/libpq.so"}
    made = package(places, 13, [good])
    setup.link(made)
    setup.link(made)
    assert (made / "native/lib/libpq.so").readlink() == Path("libpq.so.5.13")
    evil = package(places, 14, [{"source": "native/lib/x", "target": "../../y"}])
    with pytest.raises(debian.SetupError, match="outside of its package"):
        setup.link(evil)


def test_where_npm_does_not_answer_each_version_says_why_it_is_missing(
    places: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def nothing(*_: object, **__: object) -> str:
        raise debian.SetupError("npm failed (1)")

    monkeypatch.setattr(setup, "run", nothing)
    assert setup.main() == 0
    for major in setup.MAJORS:
        reason = (places / "postgres" / f"{major}.missing").read_text()
        assert reason == (
            f"no PostgreSQL {major} here (npm failed (1)): the tests on this version are skipped\n"
        )
        assert reason.strip() in capsys.readouterr().err or major != setup.MAJORS[0]


def test_each_version_is_pinned_with_its_hash_and_is_the_one_that_the_documentation_names() -> None:
    lock = json.loads((setup.PINS / "package-lock.json").read_text())["packages"]
    pinned = {name.rpartition("/")[2]: each for name, each in lock.items() if name}
    assert {int(name.split("-")[1]) for name in pinned} == set(setup.MAJORS)
    for each in pinned.values():
        assert each["integrity"].startswith("sha512-")
        major, minor, _ = each["version"].split(".", 2)
        assert f"{major}.{minor}" in DOCTOR, "docs/doctor.md says which versions tests ran on"
