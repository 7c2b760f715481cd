"""Alembic's environment: one direct session, and a lock that lets one deploy at a time through."""

from __future__ import annotations

import os
from dataclasses import replace
from logging.config import fileConfig

from alembic import context
from alembic.util import CommandError
from sqlalchemy import text

from broker import Broker, Settings
from broker.settings import Flavour
from broker.sqlalchemy import create_engine
from examples.alembic_migrations.models import Base

LOCK = 53300  # any number, the same in every deploy of this database
LOCK_TIMEOUT = "5s"  # for a table that the application holds; behind us its statements queue up
LONGEST_S = 900.0  # of a whole run, the wait for another deploy included


def settings() -> Settings:
    """Return the BROKER_ variables' settings, for the one session that the plan keeps."""
    if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
        raise CommandError(
            "migrations do not run in a handler: each cold environment would start them, and an "
            "invocation's end would stop them; run them in the deploy, before the new code"
        )
    found = Settings.from_env()
    if found.flavour is not Flavour.DIRECT:
        raise CommandError("migrations go past the pooler: set BROKER_FLAVOUR=direct, and its port")
    return replace(found, max_sessions=1, timeout_s=LONGEST_S, application_name="migrations")


def migrate() -> None:
    """Run what is to be run in one transaction: all of it is kept, or none."""
    with Broker(settings()) as db, create_engine(db).connect() as connection:
        context.configure(connection=connection, target_metadata=Base.metadata)
        with context.begin_transaction():
            connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
            connection.execute(
                text("select set_config('lock_timeout', :limit, true)"), {"limit": LOCK_TIMEOUT}
            )
            context.run_migrations()


if context.config.config_file_name is not None:
    fileConfig(context.config.config_file_name, disable_existing_loggers=False)
if context.is_offline_mode():
    raise CommandError("--sql is not supported: what is to be run is asked of the database")
migrate()
