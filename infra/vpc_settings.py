"""VpcSettings: [deploy.vpc], a new VPC or one that is there."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from broker.plan.reading import Section

CIDR = "10.0.0.0/16"
VPC = ("id", "availability_zones", "subnets", "lookup", "nat", "cidr")


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

    @property
    def lookup(self) -> bool:
        """Whether the CDK asks AWS what the VPC has."""
        return not self.subnets


def read_vpc(section: Section) -> NewVpc | ExistingVpc:
    """Return which VPC it is; BadDeployment names what is missing or contradicts."""
    if "id" not in section:
        for key in ("availability_zones", "subnets", "lookup"):
            if key in section:
                raise section.wrong(key, 'needs the VPC\'s id, for example id = "vpc-0123456789"')
        return NewVpc(nat=section.flag("nat", False), cidr=_cidr(section))
    vpc_id = section.text("id", example="vpc-0123456789")
    for key in ("nat", "cidr"):
        if key in section:
            raise section.wrong(key, "is for a new VPC: leave it out, or leave out id")
    if section.flag("lookup", False):
        return ExistingVpc(vpc_id)
    for key in ("availability_zones", "subnets"):
        if key not in section:
            raise section.wrong(key, "missing beside id; give both lists, or lookup = true")
    zones = tuple(section.texts("availability_zones", [], example="eu-west-1a"))
    subnets = tuple(section.texts("subnets", [], example="subnet-0123456789"))
    if len(subnets) != len(zones) or len(set(zones)) < 2:
        raise section.wrong(
            "subnets", "must be one for each of the availability_zones, in order, 2+"
        )
    return ExistingVpc(vpc_id, zones, subnets)


def _cidr(section: Section) -> str:
    cidr = section.text("cidr", CIDR, example=CIDR)
    try:
        network = ipaddress.ip_network(cidr)
    except ValueError:
        network = None
    if network is None or network.version != 4 or not 16 <= network.prefixlen <= 24:
        raise section.wrong("cidr", f'must be an IPv4 range of /16 to /24, as "{CIDR}"')
    return cidr
