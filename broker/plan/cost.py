"""Cost: both flavours side by side, a month, and from what size on which is cheaper."""

from __future__ import annotations

import math

from broker.plan.deployment import Deployment
from broker.plan.draft import Draft
from broker.plan.prices import HOURS_PER_MONTH

NLB_LCUS = 1.0  # 800 new connections a second, 100,000 open, or 1 GB an hour: seldom more


def add_cost(draft: Draft, deployment: Deployment) -> None:
    """Write down both flavours' cost; the database itself costs the same behind either."""
    numbers, prices, middle = draft.numbers, deployment.prices, deployment.middle
    source = f"{prices.region}, {prices.as_of}; [prices] overrides it"
    memory_gb = middle.task_memory_bytes / 2**30
    task = middle.task_vcpu * prices.fargate_vcpu + memory_gb * prices.fargate_gb
    balancer = prices.nlb + NLB_LCUS * prices.nlb_lcu
    bouncer = numbers.real(
        "cost_pgbouncer",
        round((middle.tasks * task + balancer) * HOURS_PER_MONTH, 2),
        "USD/month",
        f"({middle.tasks} tasks × ({middle.task_vcpu:g} vCPU × {prices.fargate_vcpu} + "
        f"{memory_gb:g} GB × {prices.fargate_gb}) + NLB {prices.nlb} + {NLB_LCUS:g} LCU × "
        f"{prices.nlb_lcu}) × {HOURS_PER_MONTH} h",
        source=source,
    )
    vcpu_month = prices.rds_proxy_vcpu * HOURS_PER_MONTH
    database = deployment.database
    if database.acu is not None:
        units, unit = max(database.acu, prices.rds_proxy_minimum_acu), "ACU at most"
        vcpu_month_how = f"{units:g} {unit}"
    else:
        units = max(float(database.vcpus or 0), prices.rds_proxy_minimum_vcpus)
        vcpu_month_how = f"{units:g} vCPUs{'' if database.vcpus else ', the least: unknown'}"
    proxy = numbers.real(
        "cost_rds_proxy",
        round(units * vcpu_month, 2),
        "USD/month",
        f"{vcpu_month_how} × {prices.rds_proxy_vcpu} × {HOURS_PER_MONTH} h",
        source=f"RDS Proxy's list price; {source}",
    )
    cheaper = "PgBouncer" if bouncer < proxy else "RDS Proxy"
    numbers.real(
        "cost_difference",
        round(abs(bouncer - proxy), 2),
        "USD/month",
        f"{cheaper} is cheaper here",
        "cost_pgbouncer",
        "cost_rds_proxy",
    )
    if vcpu_month:
        in_acu = " (ACU, for Serverless v2)" if database.acu else ""
        least = prices.rds_proxy_minimum_vcpus
        numbers.whole(
            "cost_crossover",
            math.floor(bouncer / vcpu_month) + 1 if bouncer >= least * vcpu_month else 1,
            "vCPUs",
            f"PgBouncer is cheaper from this size on: {bouncer:g} / {vcpu_month:.2f} a "
            f"vCPU and month{in_acu}",
            "cost_pgbouncer",
        )
