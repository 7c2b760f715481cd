"""ConnectionBroker: the construct that puts a flavour in front of a database, for functions."""

from __future__ import annotations

from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from broker.errors import UsageError
from broker.plan import Deployment, make_plan

from .client import Client
from .database import Database, Made
from .flavours import Parts, make_access, server_login
from .layer import Layer
from .network import Network
from .options import BUNDLED, Auth, Options
from .provisioner import Provisioner
from .rds_ca import rds_ca
from .roles import Watchers
from .secrets import logins
from .signals import name_in_metrics, path_of
from .watch import Eyes, Watch


class ConnectionBroker(Construct):
    """What the plan of `deployment` says, in front of `database`; `connect(fn)` for each function.

    Raises DoesNotFit for a deployment that does not fit, and UsageError where its file has a
    [deploy] that nobody read (`options=read_options(file)` does). Attributes: `plan`; `host` and
    `port`, where functions connect; `layer`, with the library; `clients`, the security group that
    is let in; `watch`, with the alarms.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        database: Database | Made,
        vpc: ec2.IVpc,
        deployment: Deployment,
        vpc_subnets: ec2.SubnetSelection | None = None,
        options: Options | None = None,
    ) -> None:
        super().__init__(scope, id)
        self.plan = make_plan(deployment)
        options = options or Options()
        if deployment.has_deploy and options.file is None:
            raise UsageError(
                f"{deployment.file}: [deploy] would be ignored: leave it out and say it with "
                f"options=Options(…), or give options=read_options({deployment.file!r})"
            )
        options.check(deployment.middle.flavour)
        network = Network(vpc, vpc_subnets or _private(vpc))
        found, ca = Database.of(database), rds_ca(options.rds_ca)
        users = [pair.user for pair in deployment.middle.pairs]
        watch = options.watch
        names = Watchers.of(path_of(self), monitor=watch.monitor_role, reaper=watch.reaper_role)
        secrets, watchers = {}, {}
        if options.auth is Auth.SECRET:
            secrets = logins(self, "Server", users, "On the server")
            watchers = logins(self, "Watcher", [names.monitor, names.reaper], "On the server")
        provisioner = Provisioner(self, "Provisioner", network=network, database=found, ca=ca)
        roles = provisioner.make_roles(self.plan, names, {**secrets, **watchers})
        parts = Parts(network, found, self.plan, options, secrets, provisioner, roles, ca)
        access = make_access(self, parts)
        self.host, self.port = access.host, access.port
        self.layer = Layer(self, "Layer", powertools=options.powertools, ca=ca)
        self._client = Client(self, network=network, access=access, plan=self.plan, roles=roles)
        self.clients = self._client.group
        self._layers = [self.layer, *_powertools(self, options)]
        grant = server_login(self, found, watchers)
        self.watch = Watch(
            self,
            "Watch",
            settings=watch,
            name=name_in_metrics(self),
            plan=self.plan,
            access=access,
            eyes=Eyes(network, found, ca, grant, names, watchers, roles),
        )

    def connect(
        self,
        fn: lambda_.Function,
        *,
        name: str | None = None,
        queue: sqs.IQueue | None = None,
        read_only: bool = False,
    ) -> None:
        """Give the function all that it needs, and no more, to use the database.

        `name` is its name in broker.toml, where its construct's id or function name is not it. With
        `queue` it also takes that queue's messages, as many at once as the plan allows. `read_only`
        leads it to the database's readers.
        """
        application = self._client.connect(
            fn, self._layers, name=name, queue=queue, read_only=read_only
        )
        self.watch.add_function(application.name, fn)


def _powertools(scope: Construct, options: Options) -> list[lambda_.ILayerVersion]:
    """Return the layer that has Powertools, where the library's has not."""
    if options.powertools == BUNDLED:
        return []
    arn = options.powertools
    return [lambda_.LayerVersion.from_layer_version_arn(scope, "Powertools", arn)]


def _private(vpc: ec2.IVpc) -> ec2.SubnetSelection:
    """Return the subnets with a way out where there are such, else the isolated ones."""
    kind = ec2.SubnetType
    egress = bool(vpc.private_subnets)
    return ec2.SubnetSelection(
        subnet_type=kind.PRIVATE_WITH_EGRESS if egress else kind.PRIVATE_ISOLATED
    )
