"""This process's limit on open files, which hundreds of environments exceed by far."""

from __future__ import annotations

import contextlib
import resource

OPEN_FILES = 8_192  # 3 for each environment; macOS refuses more than 10,240


def allow_open_files(wanted: int = OPEN_FILES) -> None:
    """Raise the soft limit to `wanted`, or as near as the hard one lets us; never lower it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):  # macOS has limits beyond the hard one
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
