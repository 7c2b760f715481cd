"""What broker.toml says that the flavour has no use for: said aloud, since it bounds nothing."""

from __future__ import annotations

from broker.plan.deployment import Deployment, Flavour, Middle
from broker.plan.draft import Draft

# `tasks` is in no list: what PgBouncer would cost is worked out for every flavour.
ONLY_FOR = {
    Flavour.PGBOUNCER: ("processes", "pool_size", "reserve_pool_size"),
    Flavour.DIRECT: ("cap",),
    Flavour.RDS_PROXY: ("proxy_minimum_percent",),
}


def add_unused(draft: Draft, deployment: Deployment) -> None:
    """Note each setting that is given and does nothing under this flavour."""
    middle, usual = deployment.middle, Middle()
    for flavour, keys in ONLY_FOR.items():
        given = [key for key in keys if getattr(middle, key) != getattr(usual, key)]
        if given and flavour is not middle.flavour:
            named = " and ".join(f"broker.{key}" for key in given)
            draft.notes.append(
                f'{named} bounds nothing with flavour = "{middle.flavour.value}": it is for '
                f'"{flavour.value}".'
            )
