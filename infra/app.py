"""The CDK app: broker.toml → one stack. `cdk.json` runs it."""

from __future__ import annotations

from pathlib import Path

from aws_cdk import App, Validations
from cdk_nag import AwsSolutionsChecks

from .refusals import plain_refusals
from .settings import CONTEXT, read_settings
from .stack import BrokerStack


def build(app: App, root: Path) -> BrokerStack:
    """Make the stack of the app's context, and have it checked."""
    given = app.node.get_all_context()
    stack = BrokerStack(app, read_settings(given, root))
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    return stack


def main() -> None:
    """Synthesize; what is wrong with the input is told without a traceback."""
    with plain_refusals():
        app = App()
        build(app, Path())
        app.synth()


__all__ = ["CONTEXT", "build", "main"]

if __name__ == "__main__":
    main()
