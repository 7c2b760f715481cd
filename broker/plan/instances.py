"""Instance classes: vCPUs, memory and max_connections (FACTS 5, as of AS_OF)."""

from __future__ import annotations

from dataclasses import dataclass

AS_OF = "2025-11"  # the vendor's pages; Aurora's list is of 2023
GIB = 2**30

BYTES_PER_CONNECTION = 9_531_392  # RDS: LEAST({DBInstanceClassMemory/9531392}, 5000)
FORMULA_MOST = 5000
# DBInstanceClassMemory is below nominal by what the system keeps. Aurora's own list shows 88.8 %
# (r5.large) to 95.6 %; the lowest is the safe side, `broker measure` tells the truth.
CLASS_MEMORY_SHARE = 0.88

_GIB_PER_VCPU = {"m": 4, "r": 8}
_FAMILIES = [
    "m5",
    "m6g",
    "m6gd",
    "m6i",
    "m6id",
    "m7g",
    "m7i",
    "m8g",
    "r5",
    "r6g",
    "r6gd",
    "r6i",
    "r6id",
    "r7g",
    "r7i",
    "r8g",
]
_VCPUS = {"large": 2, "xlarge": 4} | {f"{n}xlarge": 4 * n for n in (2, 4, 8, 12, 16)}
_BURSTABLE_GIB = {"micro": 1, "small": 2, "medium": 4, "large": 8, "xlarge": 16, "2xlarge": 32}
_BURSTABLE_VCPUS = {"xlarge": 4, "2xlarge": 8}  # the smaller ones have 2

AURORA = {
    "db.t3.medium": 420,
    "db.t4g.medium": 405,
    "db.t3.large": 844,
    "db.t4g.large": 844,
    "db.r5.large": 1600,
    "db.r6g.large": 1722,
    "db.r6g.xlarge": 3479,
}
AURORA_FULL_FROM_VCPUS = 8  # 2xlarge and up: 5000
SERVERLESS = {1: 189, 4: 823, 8: 1669, 16: 3360, 32: 5000}  # by maximum ACU
SERVERLESS_LOW_MINIMUM_ACU = 0.5  # a minimum of 0 or 0.5 ACU ...
SERVERLESS_LOW_MINIMUM_MOST = 2000  # ... bounds max_connections (Aurora User Guide)
GIB_PER_ACU = 2
ACU_PER_VCPU = 4  # as r classes have 8 GiB a vCPU


@dataclass(frozen=True, slots=True)
class Instance:
    """What an instance class has. `max_connections_how` is the derivation in words."""

    name: str
    vcpus: int
    memory_bytes: int
    max_connections: int
    max_connections_how: str

    @property
    def burstable(self) -> bool:
        """Whether it is a t class, whose CPU is on credit."""
        return self.name.startswith("db.t")


def _sizes() -> dict[str, tuple[int, int]]:
    table = {
        f"db.{family}.{size}": (_BURSTABLE_VCPUS.get(size, 2), gib)
        for family in ("t3", "t4g")
        for size, gib in _BURSTABLE_GIB.items()
    }
    for family in _FAMILIES:
        for size, vcpus in _VCPUS.items():
            table[f"db.{family}.{size}"] = (vcpus, vcpus * _GIB_PER_VCPU[family[0]])
    return table


SIZES = _sizes()
"""vCPUs and GiB by class."""


def provisioned(name: str, *, aurora: bool) -> Instance:
    """Return the class; KeyError if it is not in the table."""
    vcpus, gib = SIZES[name]
    memory = gib * GIB
    if aurora and (name in AURORA or vcpus >= AURORA_FULL_FROM_VCPUS):
        most = AURORA.get(name, FORMULA_MOST)
        return Instance(name, vcpus, memory, most, f"Aurora's default for {name} ({AS_OF})")
    most = min(int(memory * CLASS_MEMORY_SHARE / BYTES_PER_CONNECTION), FORMULA_MOST)
    how = (
        f"least({gib} GiB × {CLASS_MEMORY_SHARE} / {BYTES_PER_CONNECTION:,}, {FORMULA_MOST:,}) "
        f"for {name}"
    )
    return Instance(name, vcpus, memory, most, how)


def serverless(min_acu: float, max_acu: float) -> Instance:
    """Return Aurora Serverless v2 by its ACUs; sizes between the listed ones count as the lower."""
    listed = max((acu for acu in SERVERLESS if acu <= max_acu), default=0)
    most = SERVERLESS[listed]  # KeyError below 1 ACU
    how = f"Serverless v2 with at most {max_acu:g} ACU, as listed for {listed}"
    if min_acu <= SERVERLESS_LOW_MINIMUM_ACU and most > SERVERLESS_LOW_MINIMUM_MOST:
        most = SERVERLESS_LOW_MINIMUM_MOST
        how += f"; bounded to {most:,} since it may go down to {min_acu:g} ACU"
    vcpus = max(1, int(max_acu // ACU_PER_VCPU))
    return Instance("serverless", vcpus, int(max_acu * GIB_PER_ACU * GIB), most, how)
