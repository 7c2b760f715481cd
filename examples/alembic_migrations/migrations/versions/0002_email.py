"""Customers have an address or none, so that old code goes on."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go there."""
    op.add_column("customers", sa.Column("email", sa.String))
    op.create_unique_constraint("customers_email_key", "customers", ["email"])


def downgrade() -> None:
    """Go back."""
    op.drop_column("customers", "email")
