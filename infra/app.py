"""The CDK app: broker.toml → one stack. `cdk.json` runs it."""

from __future__ import annotations

import sys
from pathlib import Path

from aws_cdk import App, Validations
from cdk_nag import AwsSolutionsChecks

from broker.errors import BrokerError

from .settings import CONTEXT, read_settings
from .stack import BrokerStack

REFUSED = 1
CHECKED = "ValidationFailed"
FROM_A_CALLBACK = "@jsii/kernel.RuntimeError: "
"""Where Node repeats what our own code raised while it made an asset."""


def build(app: App, root: Path) -> BrokerStack:
    """Make the stack of the app's context, and have it checked."""
    given = app.node.get_all_context()
    stack = BrokerStack(app, read_settings(given, root))
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    return stack


def main() -> None:
    """Synthesize; what is wrong with the input is told without a traceback."""
    app = App()
    try:
        build(app, Path())
        app.synth()
    except BrokerError as error:
        print(error, file=sys.stderr)  # noqa: T201
        raise SystemExit(REFUSED) from None
    except RuntimeError as error:
        _, ours, told = str(error).rpartition(FROM_A_CALLBACK)
        if ours:
            print(told, file=sys.stderr)  # noqa: T201
        elif not str(error).startswith(CHECKED):  # whose findings the CDK has printed
            raise
        raise SystemExit(REFUSED) from None


__all__ = ["CONTEXT", "build", "main"]

if __name__ == "__main__":
    main()
