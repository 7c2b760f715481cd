"""Image: the pooler's container, named by the user or built from infra/pgbouncer_image."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_ecr_assets as ecr_assets
from aws_cdk import aws_ecs as ecs
from constructs import Construct

from . import places

RDS_CA = "rds-ca.pem"  # where the Dockerfile copies it from
PRIVATE = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.(?P<suffix>amazonaws\.com(?:\.cn)?)"
    r"/(?P<name>[a-z0-9._/-]+)(?:(?::(?P<tag>[\w.-]+))|(?:@(?P<digest>sha256:[0-9a-f]{64})))"
)
"""An image in ECR: the task's role must be allowed to pull it."""


def make_image(scope: Construct, name: str | None, ca: str) -> ecs.ContainerImage:
    """Return the named image, or the one that the CDK builds when it deploys."""
    if name is None:
        return _built(scope, ca)
    found = PRIVATE.fullmatch(name)
    if found is None:
        return ecs.ContainerImage.from_registry(name)
    repository = ecr.Repository.from_repository_arn(
        scope,
        "Repository",
        f"arn:{'aws-cn' if found['suffix'].endswith('cn') else 'aws'}:ecr:{found['region']}:"
        f"{found['account']}:repository/{found['name']}",
    )
    return ecs.ContainerImage.from_ecr_repository(repository, found["tag"] or found["digest"])


def _built(scope: Construct, ca: str) -> ecs.ContainerImage:
    """Lay out the build's folder with RDS' authorities in it, and hand it to the CDK."""
    with tempfile.TemporaryDirectory() as directory:
        context = Path(directory) / "image"
        shutil.copytree(places.IMAGE, context, ignore=shutil.ignore_patterns("__pycache__"))
        (context / RDS_CA).write_text(ca, "ascii")
        built = ecr_assets.DockerImageAsset(
            scope,
            "Image",
            directory=str(context),
            platform=ecr_assets.Platform.LINUX_ARM64,
        )
    return ecs.ContainerImage.from_docker_image_asset(built)
