"""URLs in their one normal form: WHATWG's (url.spec.whatwg.org), as browsers send them.

`ada-url` parses, serialises and joins; hosts go by UTS 46 and IDNA 2008. It is imported when the
first URL comes that is not normal already: most are, and a regular expression sees that.

Two things differ from the standard. Characters that RFC 3986 has in no URL, and that browsers
leave in a path or query nevertheless (such as | and {}), are escaped: Tomcat answers 400 to them.
And a URL that a caller writes has two slashes and a host after its scheme: of "http:///admin",
which is `f"http://{host}/admin"` without a host, a browser makes http://admin/.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, quote, urlsplit

import webencodings  # type: ignore[import-untyped]  # it has no annotations

__all__ = [
    "host_of",
    "in_charset",
    "is_normal",
    "join_url",
    "normal_host",
    "normal_url",
    "origin_of",
    "query_names",
]

_BYTE = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
# Of a name whose last label begins with a digit WHATWG makes an IPv4 address, or an error.
_NAME = r"(?:[a-z0-9_.-]*\.)?[a-z][a-z0-9_-]*"
_HOST = rf"(?:127\.0\.0\.1|{_NAME}|{_BYTE}\.{_BYTE}\.{_BYTE}\.{_BYTE})"
_PORT = r"(?::(?(1)(?!443/)|(?!80/))(?:[1-5][0-9]{0,4}|[6-9][0-9]{0,3}))?"
# "." and "%2e" at the beginning may be a dot segment: ada sees to these.
_SEGMENT = r"/(?!\.|%2[Ee])[A-Za-z0-9\-._~!$&'()*+,;=:@%[\]]*"
#: Whether `normal_url` would return it as it is. Linear in the length; says no at times of one
#: that is rare (a user in it, IPv6, a segment that begins with a dot), never yes of another.
is_normal = re.compile(
    rf"(?:http|ws)(s)?://(?=[^/]+/){_HOST}{_PORT}(?:{_SEGMENT})+"
    r"(?:\?[A-Za-z0-9\-._~!$&()*+,;=:@%[\]/?]*)?(?:\#[!#-;=?-_a-~]*)?"
).fullmatch

_SPACE = "".join(map(chr, range(0x21)))
_BREAKS = re.compile(r"[\t\n\r]")
_ABSOLUTE = re.compile(r"(?:http|ws)s?:[/\\]{2}", re.IGNORECASE | re.ASCII)
_SURROGATES = re.compile("[\udc80-\udcff]")
_NOT_IN_RFC_3986 = re.compile(r'["<>\\^`{|}]')
_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}


def normal_url(url: str) -> str:
    """The URL as WHATWG serialises it, with what RFC 3986 does not allow escaped.

    The result is ASCII, has a lower-case scheme, a host in its IDNA form, no default port, a path
    without dot segments; its user, password and fragment stay. White space around it and line
    breaks and tabs in it are dropped, escapes stay as they are, valid UTF-8 or not. Bytes that
    Python has decoded with "surrogateescape" are escaped as bytes.

    Args:
        url: absolute: http, https, ws or wss.

    Raises:
        ValueError: it is not absolute, is of another scheme, or its host or port is none; the
            message shows no credentials.

    Example:
        >>> normal_url("HTTP://Bücher.example:80/a/../b c")
        'http://xn--bcher-kva.example/b%20c'
    """
    if not isinstance(url, str):
        raise ValueError(f"a URL is text, not {type(url).__name__}")
    if is_normal(url):
        return url
    if is_normal(f"{url}/"):  # it has no path: with one, too, it would be normal without the slash
        return f"{url}/"
    url = _BREAKS.sub("", url.strip(_SPACE))
    start = _ABSOLUTE.match(url)
    if not start:
        raise ValueError(
            f"URL {_shown(url)!r} is not absolute, or its scheme is not http or https (or ws, wss)"
        )
    if url[start.end() : start.end() + 1] in ("", "/", "\\", "?", "#"):
        raise ValueError(f"URL {_shown(url)!r} has no host")
    return _serialised(url)


def join_url(base: str, reference: str) -> str:
    """The URL that a link or a Location header means, seen from its page.

    Args:
        base: absolute URL of the page or response.
        reference: what it says: absolute or relative, in any form that a browser takes.

    Returns:
        A URL as of `normal_url`; or one of another scheme, such as mailto:.

    Raises:
        ValueError: there is no such URL; the message shows no credentials.

    Example:
        >>> join_url("http://example.org/a/b?c", "../d")
        'http://example.org/d'
    """
    return _serialised(reference, normal_url(base))


def in_charset(reference: str, charset: str) -> str:
    """Return a link with its query escaped in the charset of its page, as browsers do.

    Args:
        reference: as of `join_url`.
        charset: label of WHATWG's Encoding standard; "" is UTF-8, as for all that is no query.

    Example:
        >>> in_charset("/s?q=中", "gbk")
        '/s?q=%D6%D0'
    """
    encoding = None if reference.isascii() or not charset else webencodings.lookup(charset)
    if encoding is None or encoding.name.startswith("utf-"):  # UTF-16, too (URL, 4.4)
        return reference
    codec = encoding.codec_info.name
    before, mark, after = reference.partition("?")
    query, fragment_mark, fragment = after.partition("#")

    def escape(found: re.Match[str]) -> str:
        return quote(found[0].encode(codec, "xmlcharrefreplace"))

    query = _NOT_ASCII.sub(escape, query)
    return before + mark + query + fragment_mark + fragment


_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")


def host_of(url: str) -> str:
    """Host, and port if it is not the scheme's own, in normal form.

    Args:
        url: as of `normal_url`.

    Raises:
        ValueError: as `normal_url`.
    """
    return normal_url(url).split("/", 3)[2].rpartition("@")[2]


def normal_host(host: str) -> str:
    """A host as `host_of` has it, with the port that was given, if one was.

    Args:
        host: a name or an address, maybe with a port; IPv6 with brackets, or without a port.

    Raises:
        ValueError: it is none.

    Example:
        >>> normal_host("Bücher.example:80")
        'xn--bcher-kva.example:80'
    """
    if host.count(":") > 1 and "[" not in host:
        host = f"[{host}]"
    # Of a scheme whose own port it is not, or the port would be dropped.
    return host_of(f"{'https' if host.endswith(':80') else 'http'}://{host}/")


def origin_of(url: str) -> tuple[str, str, int]:
    """Scheme, host and port: equal where two URLs have the same origin.

    Args:
        url: as of `normal_url`.

    Raises:
        ValueError: as `normal_url`.
    """
    url = normal_url(url)
    scheme = url.partition(":")[0]
    host, colon, port = host_of(url).rpartition(":")
    if not colon or port.endswith("]"):
        return scheme, host + colon + port, _PORTS[scheme]
    return scheme, host, int(port)


def query_names(url: str) -> set[str]:
    """Names of the parameters in a URL's query.

    Args:
        url: as of `normal_url`.

    Example:
        >>> sorted(query_names("http://example.org/?a=1&b"))
        ['a', 'b']
    """
    return {name for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True)}


def _serialised(url: str, base: str | None = None) -> str:
    import ada_url  # noqa: PLC0415 - it takes 10 ms, and many programs never need it

    escaped = _SURROGATES.sub(lambda found: f"%{ord(found[0]) - 0xDC00:02X}", url)
    try:
        href = ada_url.normalize_url(escaped) if base is None else ada_url.join_url(base, escaped)
    except ValueError:
        raise ValueError(
            f"URL {_shown(url)!r} has a host or port that is none: a host is a name, an IPv4 "
            f"address or an IPv6 address in brackets, a port is a number to 65535{_hint(url)}"
        ) from None
    before, mark, fragment = href.partition("#")
    start = before.find("/", before.find("//") + 2)
    if start < 0 or before.partition(":")[0] not in _PORTS:
        return href
    return before[:start] + _NOT_IN_RFC_3986.sub(_escape, before[start:]) + mark + fragment


_ZONE = re.compile(r"\w*://[^/?#\[]*\[[^/?#\]]*%")


def _hint(url: str) -> str:
    # What RFC 6874 had for URLs is withdrawn (RFC 9844), and no browser takes it.
    zone = "; a zone such as %eth0 is no part of it: give network_interface="
    return zone if _ZONE.match(url) else ""


_QUERY = re.compile("[?#]")


def _escape(found: re.Match[str]) -> str:
    return f"%{ord(found[0]):02X}"


def _shown(url: str) -> str:
    """Return the part of a malformed URL that may be shown: no password, no query."""
    _, at, after = url.rpartition("@")  # all that stands before may be a password
    start, rest = ("...@", after) if at else ("", url)
    shown = _QUERY.split(rest, maxsplit=1)[0]
    return f"{start}{shown}{'?...' if len(shown) < len(rest) else ''}"
