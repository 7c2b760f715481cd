"""Reading a secret: through Lambda's extension, which needs no SDK, or from the service.

Source: "Use AWS Secrets Manager secrets in AWS Lambda functions" (Secrets Manager User Guide). The
extension keeps what it read for up to 5 minutes (SECRETS_MANAGER_TTL) and has no way to be told
that it is stale, so what a server has refused is read from the service itself.
"""

from __future__ import annotations

import http.client
import json
import logging
import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from broker.deadline import Deadline
from broker.errors import ConfigurationError, SecretUnavailable

log = logging.getLogger("broker")

EXTENSION_PORT = "2773"
SHARE = 0.5  # of the time left, for each step that may hang


class SecretsManager:
    """The versions of one secret."""

    def __init__(self, arn: str, environ: Mapping[str, str] = os.environ) -> None:
        self._arn = arn
        self._environ = environ

    def cached(self, deadline: Deadline) -> str | None:
        """Return what the extension has, or None where there is none, or none that answers well.

        Only on Lambda: elsewhere, another program that listens there would get the session token.
        """
        token = self._environ.get("AWS_SESSION_TOKEN")
        if not token or "AWS_LAMBDA_FUNCTION_NAME" not in self._environ:
            return None
        port = self._environ.get("PARAMETERS_SECRETS_EXTENSION_HTTP_PORT") or EXTENSION_PORT
        if not port.isdecimal():
            raise ConfigurationError(
                f"PARAMETERS_SECRETS_EXTENSION_HTTP_PORT={port!r}: expected a port, such as 2773"
            )
        within_s = max(deadline.remaining_s() * SHARE, 0.001)
        connection = http.client.HTTPConnection("localhost", int(port), timeout=within_s)
        path = f"/secretsmanager/get?secretId={quote(self._arn, safe='')}"
        try:
            connection.request("GET", path, headers={"X-Aws-Parameters-Secrets-Token": token})
            response = connection.getresponse()
            body = response.read()
            if response.status == http.client.OK:
                return str(json.loads(body)["SecretString"])
            why = f"status {response.status}"
        except ConnectionRefusedError:  # there is no extension
            return None
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
            why = type(error).__name__  # its text may quote the answer
        finally:
            connection.close()
        log.warning("the secrets extension on port %s gave %s: asking the service", port, why)
        return None

    def current(self, deadline: Deadline) -> str:
        """Return the current version, from the service.

        Raises SecretUnavailable, or ConfigurationError where no waiting mends it.
        """
        text = self._version("AWSCURRENT", deadline)
        if text is None:
            raise ConfigurationError(f"BROKER_SECRET_ARN={self._arn}: the secret holds no text")
        return text

    def pending(self, deadline: Deadline) -> str | None:
        """Return the version that a rotation is about to make current, if there is one."""
        try:
            return self._version("AWSPENDING", deadline)
        except ConfigurationError:  # there is none, or we may not read it
            return None

    def _version(self, stage: str, deadline: Deadline) -> str | None:
        # Late for their weight: 180 ms (FACTS 3), which most environments never pay.
        from botocore.exceptions import (  # type: ignore[import-untyped]
            BotoCoreError,
            ClientError,
            NoCredentialsError,
            NoRegionError,
        )

        try:
            answer = self._client(deadline).get_secret_value(SecretId=self._arn, VersionStage=stage)
        except ClientError as error:
            raise self._refusal(error.response) from error
        except (NoCredentialsError, NoRegionError) as error:
            raise ConfigurationError(f"BROKER_SECRET_ARN={self._arn}: {error}") from error
        except (BotoCoreError, OSError) as error:
            raise SecretUnavailable(f"{self._arn}: {error}") from error
        text: str | None = answer.get("SecretString")
        return text

    def _client(self, deadline: Deadline) -> Any:
        import boto3  # type: ignore[import-untyped]
        from botocore.config import Config  # type: ignore[import-untyped]

        within_s = max(deadline.remaining_s() * SHARE, 0.001)
        # One attempt: whoever opens a session tries again, inside the deadline.
        config = Config(
            connect_timeout=within_s, read_timeout=within_s, retries={"total_max_attempts": 1}
        )
        region = self._arn.split(":")[3] if self._arn.startswith("arn:") else None
        return boto3.session.Session().client("secretsmanager", region_name=region, config=config)

    def _refusal(self, answer: Mapping[str, Any]) -> Exception:
        error = answer.get("Error", {})
        code, message = error.get("Code", ""), error.get("Message", "")
        status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if status >= http.client.INTERNAL_SERVER_ERROR or "Throttl" in code:
            return SecretUnavailable(f"{self._arn}: {code}: {message}")
        return ConfigurationError(
            f"BROKER_SECRET_ARN={self._arn}: {code}: {message} (the role needs "
            "secretsmanager:GetSecretValue on it, and kms:Decrypt on a key of its own)"
        )
