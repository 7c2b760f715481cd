"""Alembic's migrations, in the one session that the plan keeps for them."""
