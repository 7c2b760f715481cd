"""List prices, dated, of one region; `[prices]` in broker.toml overrides each."""

from __future__ import annotations

from dataclasses import dataclass

HOURS_PER_MONTH = 730  # as the vendor's calculator has it


@dataclass(frozen=True, slots=True)
class Prices:
    """US dollars an hour. Fargate's are for Linux on ARM; the proxy's is FACTS 4."""

    region: str = "us-east-1"
    as_of: str = "2025-11, list prices; check them"
    fargate_vcpu: float = 0.03238
    fargate_gb: float = 0.00356
    nlb: float = 0.0225
    nlb_lcu: float = 0.006
    rds_proxy_vcpu: float = 0.015
    rds_proxy_minimum_vcpus: float = 2.0
    rds_proxy_minimum_acu: float = 8.0  # Serverless v2's floor is second-hand (FACTS 4: ?)
