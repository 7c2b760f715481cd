"""VpcSettings: [deploy.vpc], a new VPC or one that is there."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from broker.plan.deployment import Flavour
from broker.plan.reading import Section

from .services import NEEDED, gateways, interfaces

CIDR = "10.0.0.0/16"
VPC = (
    "id",
    "availability_zones",
    "subnets",
    "lookup",
    "endpoints",
    "route_tables",
    "nat",
    "cidr",
)
SMALLEST_NEW, SMALLEST = 24, 28  # masks: AWS takes a VPC of /16 to /28, a new one has room to grow


@dataclass(frozen=True, slots=True)
class NewVpc:
    """A VPC of the broker's own: isolated subnets and endpoints, or a NAT gateway."""

    nat: bool = False
    cidr: str = CIDR


@dataclass(frozen=True, slots=True)
class ExistingVpc:
    """A VPC that is there: by its subnets, or looked up in the account."""

    id: str
    availability_zones: tuple[str, ...] = ()
    subnets: tuple[str, ...] = ()
    endpoints: tuple[str, ...] = ()
    """Those to make, by the services' names; `route_tables` and `cidr` are for them."""
    route_tables: tuple[str, ...] = ()
    cidr: str | None = None

    @property
    def lookup(self) -> bool:
        """Whether the CDK asks AWS what the VPC has."""
        return not self.subnets


def read_vpc(section: Section, flavour: Flavour) -> NewVpc | ExistingVpc:
    """Return which VPC it is; BadDeployment names what is missing or contradicts."""
    if "id" in section:
        return _existing(section, flavour)
    for key in ("availability_zones", "subnets", "lookup", "endpoints", "route_tables"):
        if key in section:
            raise section.wrong(key, 'needs the VPC\'s id, for example id = "vpc-0123456789"')
    cidr = _cidr(section, SMALLEST_NEW) if "cidr" in section else CIDR
    return NewVpc(nat=section.flag("nat", False), cidr=cidr)


def _existing(section: Section, flavour: Flavour) -> ExistingVpc:
    vpc_id = section.text("id", example="vpc-0123456789")
    if "nat" in section:
        raise section.wrong("nat", "is for a new VPC: leave it out, or leave out id")
    endpoints = _endpoints(section, flavour)
    if section.flag("lookup", False):
        for key in ("availability_zones", "subnets", "route_tables", "cidr"):
            if key in section:
                raise section.wrong(key, "is looked up: leave it out, or leave out lookup")
        return ExistingVpc(vpc_id, endpoints=endpoints)
    for key in ("availability_zones", "subnets"):
        if key not in section:
            raise section.wrong(key, "missing beside id; give both lists, or lookup = true")
    zones = tuple(section.texts("availability_zones", [], example="eu-west-1a"))
    subnets = tuple(section.texts("subnets", [], example="subnet-0123456789"))
    if len(set(zones)) != len(zones) or len(zones) < 2:
        raise section.wrong("availability_zones", "must be 2+, each once")
    if len(subnets) != len(zones):
        raise section.wrong("subnets", "must be one for each of the availability_zones, in order")
    return ExistingVpc(
        vpc_id,
        zones,
        subnets,
        endpoints,
        _route_tables(section, gateways(endpoints), subnets),
        _existing_cidr(section, interfaces(endpoints)),
    )


def _endpoints(section: Section, flavour: Flavour) -> tuple[str, ...]:
    if "endpoints" not in section:
        return ()
    wanted = section.texts("endpoints", [], example="secretsmanager")
    needed = NEEDED[flavour]
    if len(set(wanted)) != len(wanted) or not set(wanted) <= set(needed):
        raise section.wrong(
            "endpoints",
            f"with {flavour.value} it must be of {', '.join(needed)}, each once: those that the "
            "VPC does not have",
        )
    return tuple(name for name in needed if name in wanted)


def _route_tables(
    section: Section, wanted: tuple[str, ...], subnets: tuple[str, ...]
) -> tuple[str, ...]:
    key = "route_tables"
    if not wanted:
        if key in section:
            raise section.wrong(key, "only endpoints of s3 and dynamodb need it: leave it out")
        return ()
    if key not in section:
        raise section.wrong(key, f"missing; an endpoint of {wanted[0]} is a route of each subnet's")
    found = tuple(section.texts(key, [], example="rtb-0123456789"))
    if len(found) != len(subnets):
        raise section.wrong(key, "must be one for each of the subnets, in order")
    return found


def _existing_cidr(section: Section, wanted: tuple[str, ...]) -> str | None:
    if wanted and "cidr" not in section:
        raise section.wrong(
            "cidr", f"missing; the endpoint of {wanted[0]} must let in the VPC's range"
        )
    if not wanted:
        if "cidr" in section:
            raise section.wrong("cidr", "only a new VPC, or endpoints, need it: leave it out")
        return None
    return _cidr(section, SMALLEST)


def _cidr(section: Section, smallest: int) -> str:
    cidr = section.text("cidr", example=CIDR)
    try:
        network = ipaddress.ip_network(cidr)
    except ValueError:
        network = None
    if network is None or network.version != 4 or not 16 <= network.prefixlen <= smallest:
        raise section.wrong("cidr", f'must be an IPv4 range of /16 to /{smallest}, as "{CIDR}"')
    return cidr
