"""A local certificate authority, and the certificate of the historical hosts that it signs.

The authority is made once and kept: who trusts it has done so for as long as it lives (ten
years). It can sign for the historical hosts, localhost, 127.0.0.0/8 and ::1 alone, so that a
stolen key opens nothing else: no other host of qq.com, which is a living domain, and no other
machine (name constraints, RFC 5280, 4.2.1.10). An authority without these constraints, of an
earlier version, is made anew. What it signs is made anew when it is about to end or an address
is missing in it.
"""

from __future__ import annotations

import datetime
import ipaddress
import logging
import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ..files import reason, replace_bytes
from .hosts import HISTORICAL_HOSTS

__all__ = ["CertificateError", "Certificates", "certificates", "server_context"]

logger = logging.getLogger("webqq_tornado.server")

_AUTHORITY_DAYS, _SERVER_DAYS = 3650, 397  # what clients take at most of a server: 398
#: A certificate that ends within this time is made anew.
_RENEW_DAYS = 30
_HOSTS = (*HISTORICAL_HOSTS, "localhost")
_ADDRESSES = ("127.0.0.1", "::1")
_NETWORKS = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
#: Hosts that have none of ours below them. A permitted name stands for those below it, too, so
#: these are excluded where nothing of ours goes with them.
_LEAVES = [
    host for host in _HOSTS if not any(other.endswith(f".{host}") for other in HISTORICAL_HOSTS)
]
#: All that the authority may sign for.
_PERMITTED = x509.NameConstraints(
    [*map(x509.DNSName, _HOSTS), *map(x509.IPAddress, _NETWORKS)],
    [x509.DNSName(f".{host}") for host in _LEAVES],
)
#: RSA, which the clients of 2013 know.
_KEY_BITS = 2048


#: Exceptions for a file without a certificate or key, or with one unlike ours.
_DAMAGE = (
    *(ValueError, TypeError, UnsupportedAlgorithm),
    *(x509.ExtensionNotFound, x509.DuplicateExtension, x509.InvalidVersion),
    *(x509.UnsupportedGeneralNameType,),
)


class CertificateError(Exception):
    """The certificates cannot be made, read or used; the message says which, and what to do."""


class Certificates(NamedTuple):
    """Paths of the certificate files.

    Args:
        authority: certificate that a client is to trust; for everybody to read.
        server: the server's certificate and key; mode 0600, as is the authority's key.
    """

    authority: Path
    server: Path


class _Pair(NamedTuple):
    certificate: x509.Certificate
    key: rsa.RSAPrivateKey


def certificates(directory: Path, addresses: Iterable[str] = ()) -> Certificates:
    """The certificates of a server; those that are missing are made.

    Args:
        directory: where they are kept; made if it is not there.
        addresses: IP addresses that the server has; those outside of loopback are left out.

    Raises:
        CertificateError: a file cannot be written or read.

    Example:
        >>> files = certificates(Path("state"))
        >>> server.listen_tls(8443, files)
    """
    paths = Certificates(directory / "ca.pem", directory / "server.pem")
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        authority = _authority(paths.authority, directory / "ca.key")
        wanted = {*_ADDRESSES, *_loopback_only(addresses)}
        if not _is_good(paths.server, authority, wanted):
            replace_bytes(paths.server, _signed(authority, wanted), 0o600)
    except (OSError, *_DAMAGE) as error:
        why = reason(error) if isinstance(error, OSError) else " ".join(str(error).split())
        raise CertificateError(
            f"{directory}: the certificates cannot be used ({why}); move the folder away to "
            "have them made anew (clients have to trust the new ca.pem then)"
        ) from error
    return paths


def server_context(files: Certificates) -> ssl.SSLContext:
    """The TLS context that a server listens with.

    Raises:
        CertificateError: the certificate and its key do not belong together.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        # Without a password OpenSSL would ask for one at the terminal, and wait.
        context.load_cert_chain(files.server, password=b"none")
    except (OSError, ssl.SSLError) as error:
        raise CertificateError(f"{files.server}: {error}; remove it: it is made anew") from error
    return context


def _authority(certificate: Path, key: Path) -> _Pair:
    if not (certificate.exists() and key.exists()):
        return _made_authority(certificate, key)
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    if not isinstance(private, rsa.RSAPrivateKey):
        raise ValueError(f"{key.name} is no RSA key")
    kept = _Pair(x509.load_pem_x509_certificate(certificate.read_bytes()), private)
    if kept.certificate.public_key() != private.public_key():
        raise ValueError(f"{key.name} is not the key of {certificate.name}")
    fault = ""
    if not _is_constrained(kept.certificate):
        fault = "could sign for other hosts than the server's"
    elif not _is_valid(kept.certificate):
        fault = "is not valid at this time (check the clock)"
    if not fault:
        return kept
    logger.warning(
        "%s %s: a new one takes its place. Clients have to trust the new file, and should trust "
        "the former one no longer",
        certificate,
        fault,
    )
    return _made_authority(certificate, key)


def _is_valid(certificate: x509.Certificate, days: int = 0) -> bool:
    """Return True if a certificate is valid, for so many days: a wrong clock may have made it."""
    now, left = _now(), datetime.timedelta(days=days)
    return certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc - left


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)


def _made_authority(certificate: Path, key: Path) -> _Pair:
    made = _new_authority()
    replace_bytes(key, _key_bytes(made.key), 0o600)
    replace_bytes(certificate, made.certificate.public_bytes(serialization.Encoding.PEM), 0o644)
    return made


def _is_constrained(authority: x509.Certificate) -> bool:
    """Return True if the authority can sign for all our hosts, and for nothing else."""
    for extension in authority.extensions:
        if isinstance(extension.value, x509.NameConstraints):
            return extension.critical and extension.value == _PERMITTED
    return False


def _new_authority() -> _Pair:
    key = rsa.generate_private_key(65537, _KEY_BITS)
    name = _name("webqq_tornado local CA")
    builder = (
        _builder(name, name, key, _AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        # Critical: a client that cannot check them is not to trust it for everything.
        .add_extension(_PERMITTED, critical=True)
    )
    return _Pair(builder.sign(key, hashes.SHA256()), key)


def _signed(authority: _Pair, addresses: Iterable[str]) -> bytes:
    """A new certificate and its key."""
    key = rsa.generate_private_key(65537, _KEY_BITS)
    names: list[x509.GeneralName] = [x509.DNSName(host) for host in _HOSTS]
    names += [x509.IPAddress(ipaddress.ip_address(each)) for each in sorted(addresses)]
    issuer = authority.certificate
    by = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    builder = (
        _builder(_name("webqq_tornado"), issuer.subject, key, _SERVER_DAYS)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(by, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True, key_encipherment=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    )
    certificate = builder.sign(authority.key, hashes.SHA256())
    return certificate.public_bytes(serialization.Encoding.PEM) + _key_bytes(key)


def _builder(
    name: x509.Name, issuer: x509.Name, key: rsa.RSAPrivateKey, days: int
) -> x509.CertificateBuilder:
    now, public = _now(), key.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))  # clocks differ
        .not_valid_after(now + datetime.timedelta(days=days - 1))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _usage(**allowed: bool) -> x509.KeyUsage:
    all_of_them = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement "
        "key_cert_sign crl_sign encipher_only decipher_only"
    )
    return x509.KeyUsage(**{name: allowed.get(name, False) for name in all_of_them.split()})


def _is_good(server: Path, authority: _Pair, addresses: set[str]) -> bool:
    """Return True if a certificate is of this authority, valid, and has all names and addresses."""
    if not server.exists():
        return False
    try:
        certificate = x509.load_pem_x509_certificate(server.read_bytes())
        server_context(Certificates(server, server))  # it has its key as well
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        is_ours = _is_by(certificate, authority)
    except (CertificateError, *_DAMAGE):
        return False
    lasts = _is_valid(certificate, _RENEW_DAYS)
    names = set(extension.value.get_values_for_type(x509.DNSName))
    has = {str(each) for each in extension.value.get_values_for_type(x509.IPAddress)}
    return lasts and names == set(_HOSTS) and has >= addresses and is_ours


def _is_by(certificate: x509.Certificate, authority: _Pair) -> bool:
    identifier = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    wanted = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    return identifier.value == wanted


def _key_bytes(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _loopback_only(addresses: Iterable[str]) -> list[str]:
    """Addresses that the authority can sign for; logs the others."""
    given = [each for each in addresses if _is_address(each)]
    for each in given:
        if not _is_loopback(each):
            logger.warning(
                "https: %s is not in the certificate, the local CA signs for loopback alone: let "
                "clients come by the historical hosts",
                each,
            )
    return [each for each in given if _is_loopback(each)]


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_loopback(text: str) -> bool:
    address = ipaddress.ip_address(text)
    return any(address in network for network in _NETWORKS)
