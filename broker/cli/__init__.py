"""The command line: one file a command."""

from broker.cli.main import main

__all__ = ["main"]
