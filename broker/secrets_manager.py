"""Reading a secret: through Lambda's extension, or from the service in one request, signed here.

No SDK is loaded where the environment has AWS credentials, as it has on Lambda: importing one and
making a client takes 180 ms (FACTS 3), and 50 for each further client.

Source: "Use AWS Secrets Manager secrets in AWS Lambda functions" (Secrets Manager User Guide). The
extension keeps what it read for up to 5 minutes (SECRETS_MANAGER_TTL) and has no way to be told
that it is stale, so what a server has refused is read from the service itself.
"""

from __future__ import annotations

import http.client
import json
import logging
import os
import time
from collections.abc import Mapping
from urllib.parse import quote, urlsplit

from broker.aws_json import Refused, body_of, endpoint
from broker.deadline import Deadline
from broker.errors import ConfigurationError, SecretUnavailable
from broker.sigv4 import NoKeys, Scope, keys_from, region_from, signed_post

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
        body = json.dumps({"SecretId": self._arn, "VersionStage": stage}).encode()
        try:
            status, text = self._post(body, max(deadline.remaining_s() * SHARE, 0.001))
        except NoKeys as error:
            raise ConfigurationError(f"BROKER_SECRET_ARN={self._arn}: {error}") from error
        except (OSError, http.client.HTTPException) as error:
            why = str(error) or type(error).__name__
            raise SecretUnavailable(f"{self._arn}: {self._endpoint()}: {why}") from error
        try:
            found: str | None = body_of(status, text).get("SecretString")
        except Refused as refused:
            raise self._refusal(refused) from refused
        return found

    def _post(self, body: bytes, within_s: float) -> tuple[int, bytes]:
        """Send one signed request, and return the answer's status and body."""
        url = urlsplit(self._endpoint())
        headers = {
            "content-type": "application/x-amz-json-1.1",
            "host": url.netloc,
            "x-amz-target": "secretsmanager.GetSecretValue",
        }
        scope = Scope.at(time.gmtime(), self._region(), "secretsmanager")
        signed = signed_post(headers, body, keys_from(self._environ), scope)
        plain = url.scheme == "http"
        way = http.client.HTTPConnection if plain else http.client.HTTPSConnection
        connection = way(url.hostname or "", url.port, timeout=within_s)
        try:
            connection.request("POST", "/", body, signed)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def _region(self) -> str:
        if self._arn.startswith("arn:"):
            return self._arn.split(":")[3]
        return region_from(self._environ, "BROKER_SECRET_ARN")

    def _endpoint(self) -> str:
        return endpoint("secretsmanager", self._region(), self._environ)

    def _refusal(self, refused: Refused) -> Exception:
        if refused.status >= http.client.INTERNAL_SERVER_ERROR or "Throttl" in refused.code:
            return SecretUnavailable(f"{self._arn}: {refused}")
        return ConfigurationError(
            f"BROKER_SECRET_ARN={self._arn}: {refused} (the role needs "
            "secretsmanager:GetSecretValue on it, and kms:Decrypt on a key of its own)"
        )
