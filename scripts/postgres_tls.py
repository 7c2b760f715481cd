"""Put a PostgreSQL that speaks TLS at .venv/postgres-tls, for the tests, or say what is not shown.

The wheel that everything else uses is built without TLS. In order: what this script fetched before
(.setup/), Debian's or Ubuntu's package where it is installed, and the same package from the
machine's own apt, unpacked and not installed. Never a failure: only tests need it.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from debian import SetupError, candidate, machine_apt, run, say, unpack
from optional import link

ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / ".setup" / "postgres-tls"
TARGET = ROOT / ".venv" / "postgres-tls"

OLDEST_MAJOR = 15  # Debian 12's; what RDS offers and still gets fixes
SYSTEM = Path("/usr/lib/postgresql")  # Debian keeps the major versions side by side there
NOT_SHOWN = "the tests of the pooler's image and of a rolling replacement against TLS are skipped"
NOT_NEEDED = "libllvm"  # for jit, which is off; 100 MB


def accept(binaries: Path) -> str:
    """Return the version of these binaries; SetupError if they will not do."""
    said = run(binaries / "postgres", "--version").strip()
    match = re.search(r"\(PostgreSQL\) (\d+)[.\w]*", said)
    if not match or int(match[1]) < OLDEST_MAJOR:
        raise SetupError(f"{binaries} has {said}: {OLDEST_MAJOR} or newer is needed")
    linked = run("ldd", binaries / "postgres")
    if "libssl" not in linked or "not found" in linked:
        raise SetupError(f"{binaries} has {said}, without TLS or without a library of its")
    run(binaries / "initdb", "--version")
    return f"{match[0]} with TLS"


def below(folder: Path) -> Path:
    """Return the newest version's binaries in Debian's layout."""
    found = [path.parent for path in folder.glob("*/bin/postgres")]
    if not found:
        raise SetupError("none")
    return max(found, key=lambda path: float(path.parent.name))


def from_cache(_: Path) -> Path:
    """Take the one that an earlier run fetched."""
    return below(KEPT / "usr" / "lib" / "postgresql")


def from_machine(_: Path) -> Path:
    """Take the one whose package is installed."""
    return below(SYSTEM)


def from_apt(work: Path) -> Path:
    """Unpack the package that apt offers; installing it would make and start a cluster."""
    apt = machine_apt(work)
    depends = apt("apt-cache", "depends", "postgresql")  # the platform's own major version
    match = re.search(r"Depends: (postgresql-\d+)", depends)
    if not match:
        raise SetupError("apt has no postgresql")
    version = candidate(apt, match[1])
    say(f"fetching this platform's {match[1]} {version}, for the tests of TLS")
    unpack(apt, match[1], version, work / "postgres", without=NOT_NEEDED)
    accept(below(work / "postgres" / "usr" / "lib" / "postgresql"))
    shutil.rmtree(KEPT, ignore_errors=True)
    shutil.move(work / "postgres", KEPT)
    return from_cache(work)


WAYS: dict[str, Callable[[Path], Path]] = {
    "made earlier": from_cache,
    "installed": from_machine,
    "package": from_apt,
}


if __name__ == "__main__":
    sys.exit(link(TARGET, WAYS, accept, "PostgreSQL with TLS", NOT_SHOWN))
