"""IP addresses that a request may connect to, or that need no proxy: pure functions."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

__all__ = ["LOOPBACK", "is_loopback", "is_public", "no_proxy_of"]

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: Hosts that are this machine, in the notation of `no_proxy` (CIDR: libcurl 7.86). `localhost`
#: stands for the names below it too (RFC 6761, 6.3).
LOOPBACK = "localhost,127.0.0.0/8,0.0.0.0,::1,::,::ffff:127.0.0.0/104"

#: Where libcurl looks for proxies. `HTTP_PROXY` is none of them: in a CGI script that is a header
#: of the request (CVE-2016-5385).
_VARIABLES = ("http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")

#: NAT64 (RFC 6052): the last 32 bits are the IPv4 address that is meant.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
#: All that is assigned for use between networks (RFC 4291, 2.4). Outside it are the embedded
#: IPv4 addresses (`::127.0.0.1`, `64:ff9b:1::/48`), which `is_global` does not know as such.
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
#: Not public, though `is_global` says otherwise: always, or on the older of our Pythons.
_REFUSED: tuple[_Network, ...] = tuple(
    map(
        ipaddress.ip_network,
        (
            "100.64.0.0/10",  # between a provider and its customers (RFC 6598)
            "168.63.129.16",  # Azure's own services, the same in each virtual machine
            "192.0.0.0/24",  # of protocols (RFC 6890)
            "192.88.99.0/24",  # anycast of 6to4 (RFC 7526)
            "224.0.0.0/3",  # multicast, reserved, broadcast
            "2001::/23",  # of protocols (RFC 2928): Teredo, ORCHID, benchmarks
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4: an IPv4 address, reached by a relay (RFC 7526)
            "3fff::/20",  # documentation (RFC 9637)
        ),
    )
)


def is_public(address: str) -> bool:
    """Return True for an IP address of the public internet, not of this machine or its networks.

    An IPv6 address that stands for an IPv4 address (mapped, NAT64) is what that one is. Refused
    are loopback, private, shared, link-local, multicast, reserved and documentation addresses,
    those of 6to4 and Teredo, and whatever is no IP address, such as a path or a name.

    Args:
        address: as in a socket's address, without a port; may have a zone.

    Example:
        >>> is_public("9.9.9.9"), is_public("10.0.0.1"), is_public("::ffff:127.0.0.1")
        (True, False, False)
    """
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        embedded = ip.ipv4_mapped or _translated(ip)
        if embedded is None and ip not in _GLOBAL_UNICAST:
            return False
        ip = embedded or ip
    return ip.is_global and not any(ip in network for network in _REFUSED)


def _translated(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if ip in _NAT64 else None


def is_loopback(host: str) -> bool:
    """Return True if a URL's host is this machine, by name or address.

    Args:
        host: a name, or an address, which may be in brackets; without a port.

    Example:
        >>> is_loopback("app.LOCALHOST."), is_loopback("127.8.8.8"), is_loopback("localhost.org")
        (True, True, False)
    """
    name = host.strip("[]").removesuffix(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        ip = ipaddress.ip_address(name)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        ip = ip.ipv4_mapped or ip
    return ip.is_loopback or ip.is_unspecified


def no_proxy_of(
    no_proxy: str | None, resolve: Mapping[str, str] | None, environment: Mapping[str, str]
) -> str:
    """Hosts for which a proxy that the environment names is not used.

    Args:
        no_proxy: of the request; None: that of the environment.
        resolve: of the request: names that stand for this machine need no proxy either.
        environment: `os.environ`.

    Returns:
        A list as libcurl reads it, with this machine in it; "*" where no proxy is named.
    """
    if not any(map(environment.get, _VARIABLES)):
        return "*"  # and libcurl need not look
    if no_proxy is None:
        no_proxy = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    if no_proxy == "*":
        return "*"
    own = [_name(host) for host, address in (resolve or {}).items() if is_loopback(_name(address))]
    return ",".join(filter(None, (LOOPBACK, *own, no_proxy)))


def _name(host: str) -> str:
    """A host without its port and brackets."""
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdigit() and not name.endswith(":") else host).strip("[]")
