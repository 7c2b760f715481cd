"""Bundling: a Package as the CDK's asset, laid out at synth without Docker."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import jsii
from aws_cdk import AssetHashType, BundlingOptions, DockerImage, ILocalBundling
from aws_cdk import aws_lambda as lambda_

from .package import Package


@jsii.implements(ILocalBundling)
class Local:
    """Lays the package out where the CDK wants it."""

    def __init__(self, package: Package) -> None:
        self._package = package

    def try_bundle(self, output_dir: str, _options: object) -> bool:
        """Return True: it is done, and Docker is not asked."""
        self._package.lay(Path(output_dir))
        return True


def asset(package: Package, source: Path) -> lambda_.Code:
    """Return the package as code. `source` stands for it where bundling is switched off."""
    return lambda_.Code.from_asset(
        str(source),
        asset_hash=package.digest(),
        asset_hash_type=AssetHashType.CUSTOM,
        bundling=BundlingOptions(
            image=DockerImage.from_registry("none: bundled locally"),
            # jsii calls it with the options as one value; the type says one argument each.
            local=cast("ILocalBundling", Local(package)),
        ),
    )
