"""Put a patched PgBouncer at .venv/bin/pgbouncer, the version that production runs, or say why not.

In order: the last one that this script made (.setup/), one on PATH, the platform's package, and
Debian trixie's source package. The mirror is whatever the machine's own apt uses, read out of apt
itself; nothing in apt's configuration or in its lists is changed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from debian import Apt, SetupError, candidate, machine_apt, run, say, unpack

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".setup"
TARGET = ROOT / ".venv" / "bin" / "pgbouncer"

# FACTS section 6: older ones can be crashed by a client that has not authenticated.
FIRST_SAFE_UPSTREAM = (1, 25, 2)
DEBIAN_SUITE = "trixie"
DEBIAN_UPSTREAM = "1.24.1"
DEBIAN_REVISION = f"{DEBIAN_UPSTREAM}-1+deb13u"  # and a number
FIRST_SAFE_UPDATE = 2
ORIG_SHA256 = "da72a3aba13072876d055a3e58dd4aba4a5de4ed6148e73033185245598fd3e0"
DEBIAN_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"

WANTED = (
    f"PgBouncer {'.'.join(map(str, FIRST_SAFE_UPSTREAM))} or newer (PGDG, Homebrew, upstream) "
    f"or Debian {DEBIAN_SUITE}'s {DEBIAN_REVISION}{FIRST_SAFE_UPDATE} or newer"
)
SYSTEM_PATH = ("/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/opt/homebrew/bin")


@dataclass(frozen=True)
class Found:
    """An acceptable pgbouncer: where it is, which version, and where it came from."""

    binary: Path
    version: str
    origin: str


# ---------------------------------------------------------------- which versions will do


def upstream_version(binary: Path) -> str:
    """Ask the binary for its version; SetupError if it does not run here."""
    match = re.search(r"PgBouncer (\d+(?:\.\d+)+)", run(binary, "--version"))
    if not match:
        raise SetupError(f"{binary} does not say that it is PgBouncer")
    return match[1]


def upstream_is_safe(version: str) -> bool:
    """Tell whether upstream had fixed the known holes by this version."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3]) >= FIRST_SAFE_UPSTREAM


def package_is_safe(version: str) -> bool:
    """Tell whether a package of this Debian-style version has the fixes, upstream's or Debian's.

    Debian's patches are known to be in 1.24.1-1+deb13uN alone: 1.24.1-2 and 1.25.0-1 sort higher
    and lack them.
    """
    without_epoch = version.rpartition(":")[2]
    if upstream_is_safe(without_epoch.partition("-")[0]):
        return True
    update = re.match(re.escape(DEBIAN_REVISION) + r"(\d+)", without_epoch)
    return update is not None and int(update[1]) >= FIRST_SAFE_UPDATE


def accept(binary: Path) -> Found:
    """Take the binary if it is new enough; SetupError with its version if not."""
    version = upstream_version(binary)
    if upstream_is_safe(version):
        return Found(binary, version, f"found at {binary}")
    package = ""
    if shutil.which("dpkg-query"):
        owner = run("dpkg-query", "-S", binary.resolve(), ok=(0, 1)).partition(":")[0]
        if owner == "pgbouncer":
            package = run("dpkg-query", "-W", "-f", "${Version}", owner).strip()
    if package and package_is_safe(package):
        return Found(binary, package, f"found at {binary}")
    raise SetupError(f"{binary} is {package or version}: too old")


# ---------------------------------------------------------------- ways to get one


def from_cache(_: Path) -> Found:
    """Take the one that an earlier run made, if it still runs here."""
    try:
        record = json.loads((CACHE / "pgbouncer.json").read_text())
        found = Found(CACHE / "pgbouncer", str(record["version"]), str(record["origin"]))
    except (OSError, ValueError, KeyError) as error:
        raise SetupError("none") from error
    if not found.binary.is_file():
        raise SetupError("none")
    if not (upstream_is_safe(found.version) or package_is_safe(found.version)):
        raise SetupError(f"{found.version}: too old")
    upstream_version(found.binary)
    return found


def from_path(_: Path) -> Found:
    """Take one that is already on the machine."""
    folders = [*os.get_exec_path(), *SYSTEM_PATH]
    own = TARGET.parent
    path = os.pathsep.join(folder for folder in folders if Path(folder).resolve() != own.resolve())
    binary = shutil.which("pgbouncer", path=path)
    if binary is None:
        raise SetupError("none")
    return accept(Path(binary))


def from_brew(_: Path) -> Found:
    """Install Homebrew's bottle."""
    if not shutil.which("brew"):
        raise SetupError("no brew here")
    os.environ["HOMEBREW_NO_AUTO_UPDATE"] = "1"
    offered = json.loads(run("brew", "info", "--json=v2", "pgbouncer"))
    version = offered["formulae"][0]["versions"]["stable"]
    if not upstream_is_safe(version):
        raise SetupError(f"brew offers {version}: too old (brew update may help)")
    say(f"installing Homebrew's PgBouncer {version}")
    run("brew", "install", "--quiet", "pgbouncer")
    return accept(Path(run("brew", "--prefix", "pgbouncer").strip()) / "bin" / "pgbouncer")


def from_apt(work: Path) -> Found:
    """Unpack the platform's package; installing it would start a service."""
    apt = machine_apt(work)
    version = candidate(apt, "pgbouncer")
    if not package_is_safe(version):
        raise SetupError(f"apt offers {version}: too old")
    say(f"fetching this platform's PgBouncer package {version}")
    unpack(apt, "pgbouncer", version, work / "package")
    binary = work / "package" / "usr" / "sbin" / "pgbouncer"
    upstream_version(binary)
    return Found(binary, version, "this platform's package")


def from_debian_source(work: Path) -> Found:
    """Build Debian trixie's source package, with its security patches."""
    apt = machine_apt(work)
    sources = work / "trixie.list"
    sources.write_text("".join(f"{line}\n" for line in source_lines(apt)))
    folder = work / "source"
    folder.mkdir()
    apt.install(missing_build_packages())
    trixie = Apt(work / "trixie", sources)
    trixie("apt-get", "update")
    trixie("apt-get", "source", "pgbouncer", cwd=folder)
    version = verified_version(folder)
    say(f"building PgBouncer {version} from Debian's source package")
    tree = next(path for path in folder.iterdir() if path.is_dir())
    assert_patched(tree)
    run("./configure", "-q", "--without-pam", "--without-systemd", cwd=tree)
    run("make", "-s", f"-j{os.cpu_count() or 1}", "pgbouncer", cwd=tree)
    run("strip", tree / "pgbouncer")
    return Found(tree / "pgbouncer", version, "Debian's source package, built here")


def source_lines(apt: Apt) -> list[str]:
    """Return deb-src lines for trixie at the mirrors that this machine's apt already uses."""
    suites = {"Debian": DEBIAN_SUITE, "Debian-Security": f"{DEBIAN_SUITE}-security"}
    listing = apt("apt-get", "indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(REPO_URI)")
    lines = {
        f"deb-src [signed-by={DEBIAN_KEYRING}] {uri} {suites[label]} main"
        for origin, label, uri in (row.split("|") for row in listing.splitlines() if "|" in row)
        if origin == "Debian" and label in suites
    }
    if not lines:
        raise SetupError(f"this machine's apt has no Debian mirror to take {DEBIAN_SUITE} from")
    return sorted(lines)


def missing_build_packages() -> list[str]:
    """Name the packages that the build needs and this machine lacks."""

    def tool(name: str) -> Callable[[], bool]:
        return lambda: shutil.which(name) is not None

    def library(name: str) -> Callable[[], bool]:
        return lambda: tool("pkg-config")() and not run_fails("pkg-config", "--exists", name)

    needs = {
        "dpkg-dev": tool("dpkg-source"),
        "gcc": tool("gcc"),
        "libc6-dev": Path("/usr/include/stdio.h").exists,
        "make": tool("make"),
        "openssl": tool("openssl"),  # not for the build: the local stack makes certificates
        "pkg-config": tool("pkg-config"),
        "libevent-dev": library("libevent"),
        "libssl-dev": library("openssl"),
        "libc-ares-dev": library("libcares"),
    }
    return [package for package, present in needs.items() if not present()]


def run_fails(*command: str) -> bool:
    """Tell whether the command fails."""
    try:
        run(*command)
    except SetupError:
        return True
    return False


def verified_version(folder: Path) -> str:
    """Return the source package's version, once its checksum and its age have been checked.

    apt has checked every file against the signed index; this one is pinned here as well.
    """
    description = next(folder.glob("*.dsc")).read_text(errors="replace")
    match = re.search(r"^Version: (\S+)$", description, re.MULTILINE)
    version = match[1] if match else "?"
    if not package_is_safe(version):
        raise SetupError(f"this machine's mirror offers the source of {version}: too old")
    if version.startswith(f"{DEBIAN_UPSTREAM}-"):
        orig = folder / f"pgbouncer_{DEBIAN_UPSTREAM}.orig.tar.gz"
        if hashlib.sha256(orig.read_bytes()).hexdigest() != ORIG_SHA256:
            raise SetupError(f"{orig.name} is not the file that was expected: wrong sha256")
    return version


def assert_patched(tree: Path) -> None:
    """Refuse to build a tree whose Debian patches are not all applied."""

    def names(path: Path) -> list[str]:
        lines = path.read_text().splitlines() if path.exists() else []
        return [line.split()[0] for line in lines if line.strip() and not line.startswith("#")]

    wanted = names(tree / "debian" / "patches" / "series")
    absent = set(wanted) - set(names(tree / ".pc" / "applied-patches"))
    if not wanted or absent:
        raise SetupError(f"Debian's patches were not applied: {', '.join(absent) or 'none found'}")


WAYS: dict[str, Callable[[Path], Found]] = {
    "made earlier": from_cache,
    "on PATH": from_path,
    "Homebrew": from_brew,
    "package": from_apt,
    f"Debian {DEBIAN_SUITE}'s source": from_debian_source,
}


def install(found: Found) -> None:
    """Put it next to the venv's python; keep what we made for the next venv."""
    CACHE.mkdir(exist_ok=True)
    if found.origin.startswith("found at"):
        TARGET.unlink(missing_ok=True)
        TARGET.symlink_to(found.binary)
        return
    kept = CACHE / "pgbouncer"
    if found.binary != kept:
        replace(found.binary, kept)
        record = {key: value for key, value in asdict(found).items() if key != "binary"}
        (CACHE / "pgbouncer.json").write_text(json.dumps(record, indent=1) + "\n")
    replace(kept, TARGET)


def replace(source: Path, target: Path) -> None:
    """Copy an executable into place in one step: the old one may be running."""
    fresh = target.with_name(f".{target.name}.new")
    shutil.copyfile(source, fresh)
    fresh.chmod(0o755)
    fresh.replace(target)


def main() -> int:
    """Get PgBouncer; 0 when it is there, 1 with one clear error when it cannot be had."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the temporary folder goes
    failures: dict[str, SetupError] = {}
    with tempfile.TemporaryDirectory(prefix="broker-setup-") as work:
        for name, way in WAYS.items():
            try:
                found = way(Path(work))
            except SetupError as error:
                failures[name] = error
                continue
            install(found)
            say(f"PgBouncer {found.version} ({found.origin})")
            return 0
    sys.stderr.write(explain(failures))
    return 1


def explain(failures: Mapping[str, SetupError]) -> str:
    """Say in one error what to do, and then why every way failed."""
    remedies = [f"`{error.remedy}`" for error in failures.values() if error.remedy]
    return "\n".join(
        [
            f"No usable PgBouncer. {'Run ' + ' or '.join(remedies) + ', or i' if remedies else 'I'}"
            f"nstall {WANTED}, so that it is on PATH. Then run `make setup` again.",
            "What was tried:",
            *(f"  - {name}: {error}" for name, error in failures.items()),
            "",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
