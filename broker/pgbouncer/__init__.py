"""PgBouncer's files, written from the plan."""

from broker.pgbouncer.ini import Hosting, render_ini, render_userlist

__all__ = ["Hosting", "render_ini", "render_userlist"]
