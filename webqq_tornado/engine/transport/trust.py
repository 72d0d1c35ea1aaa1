"""Certificate authorities (CAs) that TLS servers are verified by."""

from __future__ import annotations

import os
from typing import NamedTuple

import certifi

__all__ = ["Trust", "trust_of"]


class Trust(NamedTuple):
    """CAs, in a file, a folder, or both.

    Args:
        file: path of a file with certificates in PEM form; or None.
        folder: path of a folder with a file for each CA, named by its hash (`openssl rehash`), or
            several separated by `os.pathsep`; or None.
    """

    file: str | None
    folder: str | None


def trust_of(ca_certs: str | os.PathLike[str] | Trust | None) -> Trust:
    """The CAs to verify by.

    Args:
        ca_certs: of a request: a file, or a folder. None: those that `SSL_CERT_FILE` and
            `SSL_CERT_DIR` name, read now; where neither is set, certifi's.

    Example:
        >>> context = ssl.create_default_context(cafile=trust.file, capath=trust.folder)
    """
    if isinstance(ca_certs, Trust):
        return ca_certs
    if ca_certs is not None:
        path = os.fspath(ca_certs)
        return Trust(None, path) if os.path.isdir(path) else Trust(path, None)
    # Empty is unset, as for curl and OpenSSL's users.
    file, folder = (os.environ.get(name) or None for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"))
    return Trust(file, folder) if file or folder else Trust(certifi.where(), None)
