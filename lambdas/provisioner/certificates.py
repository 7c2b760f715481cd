"""An authority of the deployment's own, and the certificates that it gives the pooler. Pure.

All that VERIFY_X509_STRICT asks for, Python 3.13's default, is in them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .refusal import Refused

AUTHORITY_DAYS = 3652  # ten years: functions trust it by their configuration
SERVER_DAYS = 90
SKEW = timedelta(hours=1)  # of a client's clock that is slow


class Why(Enum):
    """Why a new certificate is needed."""

    NONE_YET = "there is none yet"
    UNREADABLE = "the one there is cannot be read"
    OTHER_AUTHORITY = "it is another authority's"
    OTHER_NAMES = "it is for other names"
    ENDS_SOON = "it ends soon"


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, in PEM."""

    certificate: str
    key: str = field(repr=False)


def new_authority(name: str, now: datetime) -> Pair:
    """Return a self-signed authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name(f"{name} authority")
    usage = {"key_cert_sign": True, "crl_sign": True}
    builder = _builder(subject, subject, key.public_key(), now, now + _days(AUTHORITY_DAYS))
    certificate = (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(**usage), critical=True)
        .sign(key, hashes.SHA256())
    )
    return _pair(certificate, key)


def issue(authority: Pair, names: Sequence[str], now: datetime) -> Pair:
    """Return a server's certificate for these DNS names, signed by the authority."""
    ca, ca_key = _read(authority)
    ends = now + _days(SERVER_DAYS)
    if ends > ca.not_valid_after_utc:
        raise Refused(
            f"the authority ends on {ca.not_valid_after_utc:%Y-%m-%d}, before a new certificate "
            "would: empty its secret, and deploy, for a new authority that functions then trust"
        )
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    certificate = (
        _builder(_name("pooler"), ca.subject, key.public_key(), now, ends)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer), critical=False
        )
        .sign(ca_key, hashes.SHA256())
    )
    return _pair(certificate, key)


def why_new(
    current: Pair | None, authority: Pair, names: Sequence[str], now: datetime, renew_days: int
) -> Why | None:
    """Return why the current certificate does not do, or None where it does."""
    if current is None:
        return Why.NONE_YET
    try:
        certificate, _ = _read(current)
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (ValueError, TypeError, x509.ExtensionNotFound):
        return Why.UNREADABLE
    try:
        certificate.verify_directly_issued_by(_read(authority)[0])
    except (InvalidSignature, ValueError, TypeError):
        return Why.OTHER_AUTHORITY
    if set(alternatives.value.get_values_for_type(x509.DNSName)) != set(names):
        return Why.OTHER_NAMES
    if certificate.not_valid_after_utc - now <= _days(renew_days):
        return Why.ENDS_SOON
    return None


def is_usable(authority: Pair) -> bool:
    """Tell whether this is an authority's certificate with its own key."""
    try:
        certificate, key = _read(authority)
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    except (ValueError, TypeError, x509.ExtensionNotFound):
        return False
    return constraints.value.ca and certificate.public_key() == key.public_key()


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    now: datetime,
    ends: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(**granted: bool) -> x509.KeyUsage:
    kinds = (
        *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
        *("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
    )
    return x509.KeyUsage(**{kind: granted.get(kind, False) for kind in kinds})


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common[:64])])  # X.520: at most 64


def _days(days: int) -> timedelta:
    return timedelta(days=days)


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    return Pair(
        certificate.public_bytes(serialization.Encoding.PEM).decode(),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode(),
    )


def _read(pair: Pair) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """Return both; raises ValueError or TypeError for what is neither."""
    key = serialization.load_pem_private_key(pair.key.encode(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError("not a key on an elliptic curve")
    return x509.load_pem_x509_certificate(pair.certificate.encode()), key
