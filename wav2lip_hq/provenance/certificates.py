"""Certificates and keys: making a self-signed chain, and checking given ones."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any

from ..errors import InputError

YEARS = 10  # for which a self-signed chain is valid
_CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}


@dataclass(frozen=True)
class Chain:
    """A certificate, those above it, and its key. All as PEM."""

    certificates: bytes  # that of the signer first
    key: bytes  # PKCS#8, not encrypted
    algorithm: str  # es256, es384, es512, ps256 or ed25519
    name: str  # the signer's, as the certificate says
    serial: int
    until: datetime.datetime
    root: str  # the last certificate

    def expired(self, now: datetime.datetime | None = None) -> bool:
        """Whether it is no longer valid."""
        return (now or datetime.datetime.now(datetime.UTC)) > self.until


def make(name: str, now: datetime.datetime | None = None) -> tuple[bytes, bytes]:
    """(certificates, key) of a new chain: a root that vouches for one signer and whose own key is discarded.

    The names state that they are not checked. now: when it begins to be valid."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    def called(text: str) -> x509.Name:
        return x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "wav2lip_hq, self-signed: nobody has checked this name"),
                x509.NameAttribute(NameOID.COMMON_NAME, text),
            ]
        )

    def usage(**wanted: bool) -> x509.KeyUsage:
        names = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
        every = (*names, "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
        return x509.KeyUsage(**{one: wanted.get(one, False) for one in every})

    if not name.strip() or len(name) > 50 or not name.isprintable():
        raise InputError(f"a name in a certificate has 1 to 50 printable characters, not {name[:80]!r}")
    begin = (now or datetime.datetime.now(datetime.UTC)) - datetime.timedelta(minutes=5)  # clocks differ
    end = begin + datetime.timedelta(days=365 * YEARS)
    above, mine = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    above_id = x509.SubjectKeyIdentifier.from_public_key(above.public_key())

    def certificate(subject: x509.Name, public: Any) -> x509.CertificateBuilder:
        return x509.CertificateBuilder(
            called(f"{name} (root)"), subject, public, x509.random_serial_number(), begin, end
        )

    root = (
        certificate(called(f"{name} (root)"), above.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(above_id, critical=False)
        .sign(above, hashes.SHA256())
    )
    leaf = (
        certificate(called(name), mine.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(mine.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(above_id), critical=False)
        .sign(above, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    key = mine.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return leaf.public_bytes(pem) + root.public_bytes(pem), key


def parse(certificates: bytes, key: bytes, names: tuple[str, str]) -> Chain:
    """A chain of PEM certificates, the signer's first, and its key. names: of the two files, for messages.

    Raises InputError: unreadable, not in order, not for signing, a key of another certificate, encrypted. Expiry is
    checked by the signer, not here.
    """
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import serialization
    from cryptography.x509.oid import NameOID

    try:
        chain = x509.load_pem_x509_certificates(certificates)
    except (ValueError, TypeError) as error:
        raise InputError(f"{names[0]} holds no PEM certificate that can be read") from error
    try:
        private = serialization.load_pem_private_key(key, None)
    except TypeError as error:
        raise InputError(f"{names[1]} is encrypted; give a key without a passphrase, readable by you alone") from error
    except Exception as error:  # noqa: BLE001 - the library has a class for every way in which a key can be wrong
        raise InputError(f"{names[1]} holds no PEM key that can be read") from error
    leaf = chain[0]

    def bits(public: Any) -> bytes:
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return bytes(public.public_bytes(serialization.Encoding.DER, form))

    if bits(private.public_key()) != bits(leaf.public_key()):
        raise InputError(f"the key {names[1]} is not that of the first certificate in {names[0]}")
    for below, above in zip(chain, chain[1:], strict=False):
        try:
            below.verify_directly_issued_by(above)
        except (ValueError, TypeError, InvalidSignature) as error:
            raise InputError(f"{names[0]}: each certificate must be followed by the one that issued it") from error
    subject = leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    encoding = serialization.Encoding.PEM
    return Chain(
        certificates=b"".join(one.public_bytes(encoding) for one in chain),
        key=private.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        algorithm=_algorithm(private, names[1]),
        name=str(subject[0].value) if subject else leaf.subject.rfc4514_string(),
        serial=leaf.serial_number,
        until=leaf.not_valid_after_utc,
        root=chain[-1].public_bytes(encoding).decode(),
    )


def _algorithm(private: Any, name: str) -> str:
    """What C2PA calls the algorithm of a key."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(private, ec.EllipticCurvePrivateKey) and private.curve.name in _CURVES:
        return _CURVES[private.curve.name]
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(private, rsa.RSAPrivateKey) and private.key_size >= 2048:
        return "ps256"
    raise InputError(f"{name}: C2PA takes keys on P-256, P-384 and P-521, Ed25519, and RSA of 2048 bits or more")


def anchors(text: bytes, name: str) -> list[str]:
    """Root certificates of a PEM file, one by one. Raises InputError."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    try:
        found = x509.load_pem_x509_certificates(text)
    except (ValueError, TypeError) as error:
        raise InputError(f"{name} holds no PEM certificate that can be read") from error
    return [one.public_bytes(serialization.Encoding.PEM).decode() for one in found]
