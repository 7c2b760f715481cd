"""Certificates of every kind that a server may have, in DER."""

from __future__ import annotations

import datetime as dt
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509.oid import NameOID

HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}


@cache
def _key(kind: str) -> Any:
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    if kind == "ecdsa":
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(65537, 2048)


@cache
def certificate(name: str = "db", key: str = "ecdsa", digest: str = "sha256") -> bytes:
    """Return a certificate that signs itself: rsa, rsa-pss, ecdsa or ed25519."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    begins = dt.datetime(2024, 1, 1)
    private = _key(key.removesuffix("-pss"))
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private.public_key())
        .serial_number(1)
        .not_valid_before(begins)
        .not_valid_after(begins + dt.timedelta(days=36500))
    )
    if key == "ed25519":
        signed = builder.sign(private, None)
    elif key == "rsa-pss":
        pss = padding.PSS(padding.MGF1(HASHES[digest]), 32)
        signed = builder.sign(private, HASHES[digest], rsa_padding=pss)  # type: ignore[arg-type]
    else:
        signed = builder.sign(private, HASHES[digest])  # type: ignore[arg-type]
    return signed.public_bytes(serialization.Encoding.DER)
