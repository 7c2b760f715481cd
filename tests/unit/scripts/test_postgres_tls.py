"""Setup takes no PostgreSQL that is too old or has no TLS."""

from __future__ import annotations

from pathlib import Path

import debian
import postgres_tls as setup
import pytest

LINKED = "\tlibssl.so.3 => /lib/libssl.so.3 (0x00007f)\n"


def said(version: str, linked: str = LINKED) -> object:
    """Return what stands for running the binaries."""

    def run(*command: object) -> str:
        return linked if command[0] == "ldd" else f"postgres (PostgreSQL) {version}\n"

    return run


@pytest.mark.parametrize("version", ["15.18 (Debian 15.18-0+deb12u1)", "17.6", "18beta2"])
def test_one_that_gets_fixes_and_has_tls_is_taken(
    version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setup, "run", said(version))
    assert setup.accept(Path("/bin")) == f"(PostgreSQL) {version.split()[0]} with TLS"


@pytest.mark.parametrize(
    ("version", "linked"),
    [("14.9", LINKED), ("9.6.1", LINKED), ("17.6", "\tlibc.so.6\n"),
     ("17.6", LINKED + "\tlibicu.so => not found\n")],
)  # fmt: skip
def test_one_that_is_old_or_has_no_tls_or_does_not_run_is_refused(
    version: str, linked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setup, "run", said(version, linked))
    with pytest.raises(debian.SetupError, match=r"newer is needed|without"):
        setup.accept(Path("/bin"))


def test_the_newest_major_version_is_taken(tmp_path: Path) -> None:
    for major in ("9.6", "15", "17"):
        (tmp_path / major / "bin").mkdir(parents=True)
        (tmp_path / major / "bin" / "postgres").touch()
    assert setup.below(tmp_path) == tmp_path / "17" / "bin"
    with pytest.raises(debian.SetupError, match="none"):
        setup.below(tmp_path / "nowhere")
