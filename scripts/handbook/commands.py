"""The page of the commands: what each answers to --help."""

from __future__ import annotations

from importlib import import_module

import click

from broker.cli.commands import MODULES, group

WIDTH = 88  # of a code block, on a screen of usual width


def page() -> str:
    """Return the page."""
    parts = [
        "# Commands\n",
        "What each command answers to `--help`. All exit with 0 where all is well, 1 for a finding "
        "or a refusal, and 2 for bad usage. `DSN` is `postgresql://user@host:5432/database`; the "
        "password may be in `PGPASSWORD`.\n",
    ]
    with click.Context(group, info_name="broker") as above:
        for name in MODULES:
            command: click.Command = getattr(import_module(MODULES[name]), name)
            with click.Context(command, above, name, terminal_width=WIDTH) as context:
                parts.append(f"## broker {name}\n\n```text\n{command.get_help(context)}\n```\n")
    return "\n".join(parts)
