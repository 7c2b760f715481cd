"""The pooler's task as it was deployed, run for real where the load balancer leads."""

from __future__ import annotations

import re

from broker.local.certificates import Certificates
from broker.local.process import LOOPBACK
from broker.plan import Plan
from tests.deployment import expected
from tests.deployment.site import Site
from tests.infra.image.container import Container, Secrets, Server


class DeployedTask(Container):
    """The image's entrypoint with the variables and the secrets of the deployed task definition.

    Three things are this machine's: the database's address, and where the pooler listens.
    """

    def __init__(self, site: Site, plan: Plan) -> None:
        container = expected.task(site)
        self._environment = {each["name"]: each["value"] for each in container["environment"]}
        self._given = {
            each["name"]: expected.secret(site, each["valueFrom"]) for each in container["secrets"]
        }
        self._endpoint = expected.endpoint(site)
        certificate = self._given["PGBOUNCER_CERTIFICATE"]
        super().__init__(
            plan,
            Server(site.postgres.port, site.postgres.ca_file),
            Secrets(
                plan=plan,
                server_password=self._given["PGBOUNCER_SERVER_SECRET_1"]["password"],
                client_password=self._given["PGBOUNCER_CLIENT_SECRET_1"]["password"],
                certificate=Certificates(
                    certificate["ca"], certificate["certificate"], certificate["key"]
                ),
            ),
            port=site.pooler_port,
        )

    def environ(self) -> dict[str, str]:
        """Return the deployed environment, with this machine's addresses."""
        found = super().environ()  # the secrets, and Docker's PATH
        for name, text in self._environment.items():
            found[name] = self._here(text) if name.startswith("PGBOUNCER_INI_") else text
        return found

    def _here(self, ini: str) -> str:
        for pattern, here in (
            (
                f"host={re.escape(self._endpoint)} port=5432",
                f"host={LOOPBACK} port={self._server.port}",
            ),
            (r"listen_addr = \*", f"listen_addr = {LOOPBACK}"),
            ("listen_port = 6432", f"listen_port = {self.port}"),
        ):
            ini, times = re.subn(pattern, here, ini)
            assert times, f"the deployed pgbouncer.ini has no {pattern}"
        return ini
