"""SQLAlchemy 2 on the broker: `create_engine(db)`, or the URL `postgresql+broker://`."""

from broker.sqlalchemy.engine import create_engine

__all__ = ["create_engine"]
