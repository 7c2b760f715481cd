"""A program that only tests need: the first way of getting it that works, or why none did."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from debian import SetupError, say


def link(
    target: Path,
    ways: Mapping[str, Callable[[Path], Path]],
    accept: Callable[[Path], str],
    what: str,
    consequence: str,
) -> int:
    """Let `target` lead to the first that is accepted, or write beside it, in `….missing`, why not.

    0 in both cases. `accept` returns the version; each way may use the folder that it is given.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the temporary folder goes
    why_not = target.with_name(f"{target.name}.missing")
    failures = []
    for path in (target, why_not):
        path.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="broker-setup-") as work:
        os.environ["HOME"] = work  # where a program that is tried would keep a profile
        for name, way in ways.items():
            try:
                found = way(Path(work))
                version = accept(found)
            except SetupError as error:
                remedy = f" ({error.remedy})" if error.remedy else ""
                failures.append(f"{name}: {str(error).splitlines()[0]}{remedy}")
                continue
            target.symlink_to(found)
            say(f"{version} ({name}: {found})")
            return 0
    reason = f"no {what} here ({'; '.join(failures)}): {consequence}"
    why_not.write_text(reason + "\n")
    say(reason)
    return 0
