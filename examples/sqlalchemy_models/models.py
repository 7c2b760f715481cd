"""Orders and their lines: typed columns, a relationship, an enum and JSON."""

from __future__ import annotations

import enum
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Identity
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.mutable import MutableDict
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class Status(enum.Enum):
    """How far an order is: an enum on the server too."""

    OPEN = "open"
    PAID = "paid"


class Base(DeclarativeBase):
    """All tables."""


class Order(Base):
    """Who ordered, and how far it is."""

    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    customer: Mapped[str]
    status: Mapped[Status] = mapped_column(default=Status.OPEN)
    details: Mapped[dict[str, Any]] = mapped_column(MutableDict.as_mutable(JSONB), default=dict)
    lines: Mapped[list[Line]] = relationship(cascade="all, delete-orphan", order_by="Line.id")


class Line(Base):
    """What was ordered, and how many."""

    __tablename__ = "lines"
    __table_args__ = (CheckConstraint("quantity > 0"),)

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey(Order.id), index=True)
    sku: Mapped[str]
    quantity: Mapped[int]
