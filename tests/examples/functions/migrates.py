"""A handler that does what it should not."""

import os

from alembic import command
from alembic.config import Config
from alembic.util import CommandError


def handler(event, context):
    try:
        command.upgrade(Config(os.environ["EXAMPLE"] + "/alembic.ini"), "head")
    except CommandError as error:
        return str(error)
    return "migrated"
