"""Acknowledge: a finding of cdk-nag that stands, and why."""

from __future__ import annotations

from aws_cdk import Acknowledgment, Validations
from constructs import IConstruct


def acknowledge(construct: IConstruct, rule: str, reason: str) -> None:
    """Let the rule's finding stand for this construct and what is in it."""
    Validations.of(construct).acknowledge(Acknowledgment(id=rule, reason=reason))
