"""The plan: broker.toml → every number that anybody configures, or why it cannot fit."""

from broker.plan.deployment import Deployment
from broker.plan.number import Number
from broker.plan.parse import parse, read
from broker.plan.plan import Plan, make_plan
from broker.plan.reading import BadDeployment
from broker.plan.refusal import DoesNotFit

__all__ = [
    "BadDeployment",
    "Deployment",
    "DoesNotFit",
    "Number",
    "Plan",
    "make_plan",
    "parse",
    "read",
]
