"""The tables for SQLAlchemy, and a unit of work: the same for either engine."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Identity
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column


class Base(DeclarativeBase):
    """All tables."""


class Account(Base):
    """Whose money it is."""

    __tablename__ = "account"
    id: Mapped[int] = mapped_column(primary_key=True)
    owner: Mapped[str]
    balance: Mapped[int] = mapped_column(BigInteger)


class Payment(Base):
    """What was paid."""

    __tablename__ = "payment"
    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    token: Mapped[str]
    account: Mapped[int] = mapped_column(ForeignKey("account.id"))
    amount: Mapped[int]


def pay(session: Session, event: dict[str, Any]) -> dict[str, Any]:
    """Pay: one select, and a flush of one insert and one update."""
    account = session.get_one(Account, event["account"])
    answer = {"account": account.id, "owner": account.owner}
    payment = Payment(token=event["token"], account=account.id, amount=event["amount"])
    session.add(payment)
    account.balance = Account.balance - event["amount"]
    session.flush()
    return {**answer, "payment": payment.id}


def look(session: Session, event: dict[str, Any]) -> dict[str, Any]:
    """Say whose account it is."""
    account = session.get_one(Account, event["account"])
    return {"account": account.id, "owner": account.owner}
