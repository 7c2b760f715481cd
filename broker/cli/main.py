"""`broker`: finds the command, and turns our errors into one line and an exit code.

0 is fine, 1 a finding, a refusal or a broken promise, 2 bad usage, 130 Ctrl-C.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line."""
    try:
        from broker.cli.commands import group  # late: its extra may not be installed
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.startswith("broker"):
            raise
        sys.exit(
            f"broker: {error.name} is not installed, and only the command line needs it: "
            "pip install 'lambda-pg-broker[local]'"
        )
    group()
