"""Put a headless Chromium at .venv/chromium, for the tests, or say what is not shown.

In order: what this script fetched before (.setup/), Debian's package where it is installed, and the
same package from the machine's own apt, with all that it needs, unpacked and not installed. Never a
failure: only the tests that look at pages need it.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from shlex import quote
from xml.sax.saxutils import escape

from debian import SetupError, candidate, machine_apt, missing, run, say, unpack_all
from optional import link

ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / ".setup" / "chromium"
TARGET = ROOT / ".venv" / "chromium"

PACKAGE = "chromium-headless-shell"
BINARY = Path("usr/lib/chromium/chromium-headless-shell")
FONTS = "fonts-dejavu-core"  # wider than most: what fits with it fits with others
NOT_NEEDED = r"xdg-utils|x11-utils|libgl1-mesa-dri|libllvm|libz3"  # for a screen and its driver
NOT_SHOWN = "the tests that look at the reports and the documentation in a browser are skipped"

START = """\
#!/bin/sh
# Written by scripts/chromium.py: Chromium with the libraries beside it and one family of fonts.
here={here}
export FONTCONFIG_FILE="$here/fonts.conf"
export LD_LIBRARY_PATH="{libraries}${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}"
exec "$here/{binary}" "$@"
"""
FONTS_CONF = """\
<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd">
<fontconfig><dir>{here}/usr/share/fonts</dir><cachedir>{here}/fonts.cache</cachedir></fontconfig>
"""
TRIED = "data:text/html,<p id=it>it draws</p>"


def accept(program: Path) -> str:
    """Return what this Chromium calls itself; SetupError if it shows no page."""
    shown = run(program, "--no-sandbox", "--disable-gpu", "--dump-dom", TRIED)
    if "it draws</p>" not in shown:
        raise SetupError(f"{program} shows no page")
    return run(program, "--version").strip().splitlines()[-1]


def started_from(folder: Path) -> Path:
    """Write the program that starts the Chromium unpacked in the folder, and return it."""
    if not (folder / BINARY).is_file():
        raise SetupError("none")
    libraries = {path.parent.relative_to(folder) for path in folder.rglob("*.so*")}
    ordered = sorted(libraries, key=lambda path: (len(path.parts), path))  # plug-ins are deeper
    (folder / "fonts.conf").write_text(FONTS_CONF.format(here=escape(str(folder))))
    program = folder / "start"
    path = ":".join(f"$here/{each}" for each in ordered)
    program.write_text(START.format(here=quote(str(folder)), libraries=path, binary=BINARY))
    program.chmod(0o755)
    return program


def from_cache(_: Path) -> Path:
    """Take the one that an earlier run fetched."""
    return started_from(KEPT)


def from_machine(_: Path) -> Path:
    """Take the one whose package is installed."""
    found = shutil.which(PACKAGE)
    if not found:
        raise SetupError("none")
    return Path(found)


def from_apt(work: Path) -> Path:
    """Unpack what apt would install, and the fonts; no root is needed."""
    apt = machine_apt(work)
    version = candidate(apt, PACKAGE)
    needed = missing(apt, PACKAGE) | {FONTS: candidate(apt, FONTS)}
    needed = {name: its for name, its in needed.items() if not re.match(NOT_NEEDED, name)}
    say(f"fetching this platform's {PACKAGE} {version} and {len(needed) - 1} packages it needs")
    unpack_all(apt, needed, work / "chromium")
    accept(started_from(work / "chromium"))
    shutil.rmtree(KEPT, ignore_errors=True)
    shutil.move(work / "chromium", KEPT)
    return from_cache(work)


WAYS: dict[str, Callable[[Path], Path]] = {
    "made earlier": from_cache,
    "installed": from_machine,
    "package": from_apt,
}


if __name__ == "__main__":
    sys.exit(link(TARGET, WAYS, accept, "headless Chromium", NOT_SHOWN))
