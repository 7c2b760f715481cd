"""Client: what `connect` gives a function, and what it refuses."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import CustomResource, Token
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_event_sources as event_sources
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from broker.errors import UsageError
from broker.plan import Plan
from broker.plan.deployment import Application, Kind
from broker.plan.nearest import nearest

from .access import Access
from .acknowledge import acknowledge
from .network import Network

VPC_POLICY = "service-role/AWSLambdaVPCAccessExecutionRole"
QUEUE_LEAST, QUEUE_MOST = 2, 1000  # MaximumConcurrency of an event source (FACTS 3)


class Client:
    """The functions' side: their security group, and what each is given."""

    def __init__(
        self,
        scope: Construct,
        *,
        network: Network,
        access: Access,
        plan: Plan,
        roles: CustomResource,
    ) -> None:
        self._network, self._access, self._plan, self._roles = network, access, plan, roles
        self.group = ec2.SecurityGroup(
            scope,
            "Clients",
            vpc=network.vpc,
            description="Functions that use the broker",
            allow_all_outbound=False,
        )
        self.group.add_egress_rule(ec2.Peer.any_ipv4(), ec2.Port.tcp(443), "AWS services")
        self._let_in(self.group)

    def _let_in(self, peer: ec2.IConnectable) -> None:
        port = ec2.Port.tcp(self._access.port)
        self._access.group.connections.allow_from(peer, port, "Functions of the broker")

    def connect(
        self,
        fn: lambda_.Function,
        layers: Sequence[lambda_.ILayerVersion],
        *,
        name: str | None,
        queue: sqs.IQueue | None,
        read_only: bool,
    ) -> Application:
        """Place, tell, allow and bound the function; return what the plan has it as."""
        application = self._application(fn, name)
        if read_only and self._access.reader_host is None:
            raise UsageError(
                f"{fn.node.path}: there is no read-only endpoint: leave read_only out, or use "
                "rds-proxy or direct with an Aurora cluster that has readers"
            )
        self._place(fn)
        for key, value in self._access.environment(
            self._plan, application, read_only=read_only
        ).items():
            fn.add_environment(key, value)
        fn.add_layers(*layers)
        self._access.grant(fn, application.pair.user)
        self._bound(fn, application)
        if queue is not None:
            self._take(fn, application, queue)
        fn.node.add_dependency(self._roles)
        return application

    def _application(self, fn: lambda_.Function, name: str | None) -> Application:
        """Find the function in the plan, or say what to add to it."""
        functions = {
            each.name: each
            for each in self._plan.deployment.applications
            if each.kind is Kind.FUNCTION
        }
        given = _literal(fn.node.default_child)
        for candidate in [name] if name is not None else [given, fn.node.id]:
            if candidate in functions:
                return functions[candidate]
        missing = name or given or fn.node.id
        near = f" (did you mean {nearest(missing, functions)}?)" if functions else ""
        raise UsageError(
            f"{fn.node.path}: the plan of {self._plan.deployment.file} has no function {missing}"
            f'{near}: add [[functions]] name = "{missing}", concurrency = 10, or call '
            "connect(fn, name=…) with a name that it has"
        )

    def _place(self, fn: lambda_.Function) -> None:
        """Let in a function that is in the VPC; put one there that is in none."""
        if fn.is_bound_to_vpc:
            self._let_in(fn)
            return
        resource = _resource(fn)
        resource.vpc_config = lambda_.CfnFunction.VpcConfigProperty(
            subnet_ids=self._network.vpc.select_subnets(
                subnets=self._network.subnets.subnets,
                subnet_type=self._network.subnets.subnet_type,
                subnet_group_name=self._network.subnets.subnet_group_name,
            ).subnet_ids,
            security_group_ids=[self.group.security_group_id],
        )
        if fn.role is not None:
            fn.role.add_managed_policy(iam.ManagedPolicy.from_aws_managed_policy_name(VPC_POLICY))
            acknowledge(
                fn.role,
                f"AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/{VPC_POLICY}]",
                "What the CDK itself gives a function in a VPC; AWS keeps it up to date.",
            )

    def _bound(self, fn: lambda_.Function, application: Application) -> None:
        """Reserve the concurrency that the plan counts on, and give it the plan's timeout."""
        resource = _resource(fn)
        planned = self._plan.whole(f"reserved_concurrency.{application.name}")
        given = resource.reserved_concurrent_executions
        if given is not None and given != planned:
            raise UsageError(
                f"{fn.node.path}: reserved_concurrent_executions={given:g}, but the plan counts "
                f"on {planned}: leave it out, or set concurrency of {application.name} in "
                f"{self._plan.deployment.file}"
            )
        resource.reserved_concurrent_executions = planned
        timeout_s = application.timeout_s
        if fn.timeout is None:
            resource.timeout = timeout_s
        elif fn.timeout.to_seconds() != timeout_s:
            raise UsageError(
                f"{fn.node.path}: timeout={fn.timeout.to_seconds():g} s, but the plan counts on "
                f"{timeout_s:g} s: leave it out, or set timeout of {application.name} in "
                f"{self._plan.deployment.file}"
            )

    def _take(self, fn: lambda_.Function, application: Application, queue: sqs.IQueue) -> None:
        planned = self._plan.whole(f"reserved_concurrency.{application.name}")
        if not QUEUE_LEAST <= planned <= QUEUE_MOST:
            raise UsageError(
                f"{fn.node.path}: a queue's max_concurrency is {QUEUE_LEAST} to {QUEUE_MOST:,}, "
                f"and the plan gives {application.name} {planned:,}: change its concurrency"
            )
        fn.add_event_source(event_sources.SqsEventSource(queue, max_concurrency=planned))


def _resource(fn: lambda_.Function) -> lambda_.CfnFunction:
    resource = fn.node.default_child
    assert isinstance(resource, lambda_.CfnFunction)  # noqa: S101  an L2 function has one
    return resource


def _literal(resource: object) -> str | None:
    """Return the function's own name, where it was given one that is known at synth."""
    name = resource.function_name if isinstance(resource, lambda_.CfnFunction) else None
    return None if name is None or Token.is_unresolved(name) else name
