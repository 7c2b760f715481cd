"""The processes' own logs, which the exporter reads: kept short, whether somebody reads or not."""

from __future__ import annotations

import os

from .directory import Directory
from .supervisor import say

MOST_BYTES = 1 << 20  # 8,000 lines or so


def keep_short(directory: Directory) -> None:
    """Empty each log that has grown too long. Its process appends, so it goes on from the start.

    What was written since the exporter's last look is lost to it, not to the task's log.
    """
    for process in directory.processes():
        log = directory.log(process)
        try:
            if log.stat().st_size > MOST_BYTES:
                os.truncate(log, 0)
        except FileNotFoundError:
            continue
        except OSError as error:  # a log must not end the poolers
            say(f"{log}: {error.strerror}")
