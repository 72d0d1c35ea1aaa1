"""Secrets: the table of names, and masking for logs, errors, `repr` and HAR files.

One table of names says under which a secret stands: in URLs, forms, JSON, headers and cookies.
Only the secret's own characters are replaced; everything around them stays, byte by byte.
"""

from __future__ import annotations

import base64
import functools
import re
from collections.abc import Collection, Iterable, Iterator
from urllib.parse import unquote_plus, urlsplit

import webencodings  # type: ignore[import-untyped]  # it has no annotations

from .decoding import charset_of
from .scanning import (
    How,
    Span,
    is_form,
    multipart_spans,
    pair_spans,
    text_spans,
    url_spans,
)

__all__ = ["MASK", "Masker", "is_secret_name", "safe_text", "safe_url"]

#: Replacement of a secret in a HAR file.
MASK = "***"
#: The media type of forms.
FORM = "application/x-www-form-urlencoded"
#: Replacement in a URL that is shown.
_DOTS = "..."
#: Characters of a value that is shown; a longer one is more often a token than a word.
_MAX_SHOWN = 32

# -- the table ----------------------------------------------------------------------------------

#: Anywhere in a name, which has lost its capitals and separators.
_SECRET_PART = re.compile(
    r"passw(?:or)?d|passphrase|passcode|pwd|secret(?!ar)|token(?!i[sz])|session|sessid|csrf|xsrf"
    r"|credential|signature|cookie|authenticationinfo|authdata|authhash|authticket"
    r"|(?:auth|device|login|verify|backup|recovery|otp|pin)code|verifi?er|verification(?:code|id)"
    r"|authori[sz]ation|bearer|jwt|samlresponse|assertion|(?:pt|vf)webqq|verif(?:y|ication)session"
    r"|ptcz|(?:api|access|private|secret|auth|app|consumer|client|account|subscription|master"
    r"|admin|licen[sc]e|encryption|signing|shared|service)key"
)
#: The last word of a name, after a capital or separator.
_SECRET_WORD = re.compile(
    r"(?:\A|_)(?:pass|pw|psw|[ox]?auth|sess|[a-z]*sid|creds?|sign|[a-z0-9]*sigx?|totp"
    r"|otp|pin|psk|hmac|(?:p_)?skey|superkey)[0-9]*\Z"
)
#: Names that are secret if their value looks like one: elsewhere they are a page, a country.
_DOUBTFUL = re.compile(r"(?:p|code|hash|ticket|access|refresh|(?:[a-z0-9]+_)*key)\Z")
#: Names of values about a secret that are none themselves.
_ABOUT = re.compile(
    r"_(?:type|name|count|length|len|size|limit|expir[a-z]*|at|ttl|lifetime|age|endpoint|ur[il]"
    r"|status|enabled|required|policy|method|mode|version|format|alg|algorithm|date|time)s?\Z"
    r"|\A(?:(?:max|min|num|total|prompt|completion|input|output|cached)_)+tokens\Z"
    r"|(?:\A|_)(?:idempotency|cache|surrogate|sort|primary|foreign|public|web_?socket|row)_key\Z"
)
#: One of these is in each of these names, and before each value that is a secret by its form.
_HINTS = (
    *("pass", "pwd", "psw", "pw", "secret", "token", "sess", "csrf", "xsrf", "cred", "sign", "sig"),
    *("cookie", "auth", "key", "code", "verif", "bearer", "jwt", "saml", "assertion", "webqq"),
    *("ptcz", "sid", "otp", "pin", "psk", "hmac", "hash", "ticket", "access", "refresh"),
    *("eyj", "basic"),
)
_NAME_P = re.compile(r"(?<![a-z0-9])p(?:\\*[\"'=:]|%22)")
_USERINFO = re.compile(r"//[^\s/]*@")
#: A letter or digit that is escaped.
_HIDDEN = re.compile(r"%(?:3\d|[46][1-9A-Fa-f]|[57][0-9Aa])|\\u00[3-7]")
#: Values that are no secret under any name.
_PLAIN = frozenset({"", "0", "1", "true", "false", "yes", "no", "null", "none", "undefined", "nil"})
#: Under such a name a number is a count.
_PLURAL = re.compile(r"(?:token|session|cookie|signature|secret|password|credential|key)s\Z", re.I)
#: In an object under a secret name: {"token": {"value": ...}}.
_VALUE_NAMES = frozenset({"value", "id", "key", "data", "text", "access", "refresh", "current"})
#: Challenges are no secrets, whatever their parameters are called.
_OPEN_HEADERS = frozenset({"www-authenticate", "proxy-authenticate", "sec-websocket-key"})
_URL_HEADERS = frozenset({"location", "content-location", "referer", "origin"})
#: The schemes of `Authorization` (IANA's list, and those of large APIs).
_SCHEMES = frozenset(
    {
        *("basic", "bearer", "digest", "negotiate", "ntlm", "hoba", "mutual", "vapid", "mac"),
        *("privatetoken", "scram-sha-1", "scram-sha-256", "concealed", "dpop", "gnap", "token"),
        *("apikey", "hawk", "oauth", "aws", "aws4-hmac-sha256", "sharedkey", "signature", "key"),
    }
)


@functools.lru_cache(maxsize=4096)
def _grade(name: str) -> float:
    """1 for a name of secrets, 0.5 for a doubtful one, 0 for any other."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name[:200])
    words = re.sub(r"[^a-z0-9]+", "_", spaced.lower()).strip("_")
    if _ABOUT.search(words):
        return 0
    if _SECRET_PART.search(words.replace("_", "")) or _SECRET_WORD.search(words):
        return 1
    return 0.5 if _DOUBTFUL.match(words) else 0


def is_secret_name(name: str) -> bool:
    """Return True if the value under a name is secret, whatever it is.

    Args:
        name: of a parameter, a header, a cookie, or a key in JSON.

    Example:
        >>> is_secret_name("X-Api-Key"), is_secret_name("Accept")
        (True, False)
    """
    return _grade(name) == 1


#: Characters of a value under a doubtful name; fewer are a page, a country, a size.
_MIN_SECRET = 6


def _looks_secret(value: str) -> bool:
    return (
        len(value) >= _MIN_SECRET and not re.search(r"\s", value) and bool(re.search(r"\d", value))
    )


# -- for logs, errors and repr --------------------------------------------------------------------


def safe_url(url: str) -> str:
    """The URL as it may be shown: without credentials, secrets in its query as dots.

    Args:
        url: an absolute URL; what cannot be parsed is shown up to its host.

    Example:
        >>> safe_url("http://me:pw@example.org/poll?id=7&token=abc")
        'http://example.org/poll?id=7&token=...'
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return url.partition("?")[0].rpartition("@")[2]
    if not parts.netloc and "@" in url:  # malformed: what stands before may be a password
        return "...@" + url.rpartition("@")[2]
    netloc = parts.netloc.rpartition("@")[2]
    if _NO_PORT.search(netloc):  # a password that is not escaped may end what looks like a host
        return "...@" + url.rpartition("@")[2] if "@" in url else f"{parts.scheme}://..."
    return _SHOWN.url(parts._replace(netloc=netloc, fragment="").geturl())


_NO_PORT = re.compile(r":(?!\d*\Z)[^\]]*\Z")


def safe_text(text: str) -> str:
    """A text that may hold URLs or other secrets, such as a library's message, as it may be shown.

    Args:
        text: of any kind.

    Example:
        >>> safe_text("no proxy: http://me:pw@example.org/?token=abc")
        'no proxy: http://example.org/?token=...'
    """
    return _SHOWN.text(_URL_IN_TEXT.sub(lambda found: safe_url(found[0]), text))


_URL_IN_TEXT = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s\"'<>]+")

# -- for recordings -----------------------------------------------------------------------------


class Masker:
    """Puts a mask in the place of secrets, and leaves every other byte as it is.

    Args:
        secrets: texts that are secret wherever they stand, in any of the usual encodings.
        ignore: names of query and form parameters that are masked as well.
        mask: what stands in the place of a secret.
        is_strict: what may be a secret is one.

    Attributes:
        learned: values that stood under names of secrets, and look random: they are secrets
            where they stand without a name, too, see `learned_pattern`.

    Example:
        >>> Masker().body(b'{"n": 1.0, "token": "abc"}', "application/json")
        b'{"n": 1.0, "token": "***"}'
    """

    def __init__(
        self,
        secrets: Iterable[str] = (),
        ignore: Collection[str] = (),
        *,
        mask: str = MASK,
        is_strict: bool = False,
    ) -> None:
        named = sorted(filter(None, secrets), key=len, reverse=True)
        self._named = _any_of(named) if named else None
        self._based = tuple(core for secret in named for core in _base64_cores(secret))
        self._ignored = frozenset(ignore)
        self._mask = mask
        self._is_strict = is_strict
        self.learned: dict[str, None] = {}

    def text(self, text: str) -> str:
        """A text of any kind.

        Args:
            text: such as an error's message.
        """
        return self._replaced(text, text_spans(text, self._chooses))

    def url(self, url: str) -> str:
        """A URL, absolute or relative.

        Args:
            url: as it is sent.
        """
        return self._replaced(url, url_spans(url, self._chooses))

    def query(self, url: str) -> list[tuple[str, str]]:
        """The decoded parameters of a URL's query.

        Args:
            url: as it is sent.
        """
        query = self.url(url).partition("#")[0].partition("?")[2]
        pairs = (pair.partition("=") for pair in query.split("&") if pair)
        return [(_unquoted(name), _unquoted(value)) for name, _, value in pairs]

    def header(self, name: str, value: str) -> str:
        """A header's value.

        Args:
            name: of the header, in any case.
            value: as it is sent; several lines that a browser has joined, too.
        """
        return self._replaced(value, self._header_spans(name.lower(), value))

    def body(self, body: bytes, content_type: str) -> bytes:
        """A body of a request or response.

        Args:
            body: decompressed.
            content_type: its header, which need not be right.
        """
        codec = codec_of(body, content_type)
        text = body.decode(codec)
        is_multipart = kind_of(content_type).startswith("multipart/")
        is_binary = codec == "latin-1" and _BINARY.search(text) and not is_multipart
        masked = self._replaced(text, () if is_binary else self._body_spans(text, content_type))
        return body if masked == text else masked.encode(codec)

    def value(self, name: str, value: str) -> str:
        """The decoded value of a query or form parameter.

        Args:
            name: of the parameter.
            value: what it is.
        """
        return self._mask if self._chooses(name, value, How.PAIR) else self.text(value)

    def learned_pattern(self) -> re.Pattern[str] | None:
        """A pattern for the learned secrets, in every encoding; None if there are none."""
        return _any_of(sorted(self.learned, key=len, reverse=True)) if self.learned else None

    # -- which values are secret ----------------------------------------------------------------

    def _chooses(self, name: str, value: str, how: How) -> bool:
        if how is How.TEXT_WITHIN:
            return self._is_worth_a_look(value)
        grade = _grade(name)
        if how is How.NAME or how is How.CONTAINER:
            return grade == 1 or (how is How.NAME and bool(grade or self._named))
        if how is How.PAIR and name in self._ignored:
            return True
        if value.lower() in _PLAIN or (value.isdigit() and _PLURAL.search(name)):
            return False
        return self._is_secret(grade, name, value, how)

    def _is_worth_a_look(self, text: str) -> bool:
        lowered = text.lower()
        return (
            any(hint in lowered for hint in _HINTS)
            or ("@" in text and bool(_USERINFO.search(text)))
            or bool(_NAME_P.search(lowered))
            or bool(_HIDDEN.search(text))
            or bool(self._named and self._named.search(text))
        )

    def _is_secret(self, grade: float, name: str, value: str, how: How) -> bool:
        if how is How.NUMBER:
            return grade == 1 or bool(self._named and self._named.fullmatch(value))
        if how is How.INSIDE and grade < 1:
            return name.lower() in _VALUE_NAMES or (len(value) >= 16 and _looks_secret(value))
        if grade == 1:
            self._learn(value)
        if self._is_strict:
            return grade > 0 or (len(value) > _MAX_SHOWN and how is How.PAIR)
        is_code = how is How.PAIR and name.lower() == "code" and len(value) >= _MIN_SECRET
        return grade == 1 or (grade > 0 and (is_code or _looks_secret(value)))

    def _learn(self, value: str) -> None:
        if _RANDOM.fullmatch(value) and value not in self.learned:
            if len(self.learned) >= _MAX_LEARNED:
                del self.learned[next(iter(self.learned))]
            self.learned[value] = None

    # -- where they stand -----------------------------------------------------------------------

    def _header_spans(self, name: str, value: str) -> Iterable[Span]:
        if name in _OPEN_HEADERS:
            return ()
        if name in {"cookie", "cookie2"}:
            return self._cookie_spans(value, r"[^;\n]+")
        if name in {"set-cookie", "set-cookie2"}:
            return self._cookie_spans(value, r"(?:\A|(?<=\n))[^;\n]+")
        if _grade(name) > 0 and value.lower() not in _PLAIN:  # no header is a page, or a country
            scheme, space, rest = value.partition(" ")
            is_known = "auth" in name and space and scheme.lower() in _SCHEMES
            self._learn(rest if is_known else value)
            return (Span(len(scheme) + 1 if is_known else 0, len(value)),)
        return (url_spans if name in _URL_HEADERS else text_spans)(value, self._chooses)

    def _cookie_spans(self, value: str, pairs: str) -> Iterator[Span]:
        for pair in re.finditer(pairs, value):
            name, equals, said = pair[0].partition("=")
            if said.strip() if equals else name.strip():  # an empty one takes a cookie back
                self._learn(said)
                yield Span(pair.start() + (len(name) + 1 if equals else 0), pair.end())

    def _body_spans(self, text: str, content_type: str) -> Iterable[Span]:
        kind, boundary = kind_of(content_type), boundary_of(content_type)
        if kind.startswith("multipart/"):
            return multipart_spans(text, boundary, self._chooses)
        is_pairs = kind == FORM and not text.lstrip().startswith(("{", "["))
        spans = pair_spans if is_pairs or is_form(text) else text_spans
        return spans(text, self._chooses)

    def _replaced(self, text: str, spans: Iterable[Span]) -> str:
        found = sorted([*spans, *self._named_spans(text)], key=_by_place)
        if not found:
            return text
        pieces: list[str] = []
        end = 0
        for one in found:
            if one.start >= end:
                # A number stays one, so that what reads it can go on.
                pieces += (text[end : one.start], "0" if one.is_number else self._mask)
            end = max(end, one.end)
        return "".join((*pieces, text[end:]))

    def _named_spans(self, text: str) -> Iterator[Span]:
        for found in self._named.finditer(text) if self._named else ():
            yield Span(*found.span())
        for core in self._based:
            for found in re.finditer(rf"(?<![\w+/-])[\w+/-]*{re.escape(core)}[\w+/-]*=*", text):
                yield Span(*found.span())


def _by_place(span: Span) -> tuple[int, bool]:
    return span.start, not span.is_number


_SHOWN = Masker(mask=_DOTS, is_strict=True)
#: Values to learn; a flow that gets a new token with each answer learns without end.
_MAX_LEARNED = 1000
#: Long, of letters and digits, and no date.
_RANDOM = re.compile(r"(?!\d{4}-\d\d-\d\d)(?=.*\d)(?=.*[A-Za-z])[\w.~+/@=!*-]{16,}", re.ASCII)


#: No text has these characters.
_BINARY = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")


# -- encodings ----------------------------------------------------------------------------------


def kind_of(content_type: str) -> str:
    """The media type in a Content-Type, lower case.

    Args:
        content_type: the header.
    """
    return content_type.partition(";")[0].strip().lower()


def boundary_of(content_type: str) -> str:
    """The boundary in the Content-Type of a multipart body, or "".

    Args:
        content_type: the header.
    """
    found = re.search(r'\bboundary="?([^";,]+)', content_type, re.IGNORECASE)
    return found[1].strip() if found else ""


def declared_codec(content_type: str) -> str:
    """Python's codec for the charset in a Content-Type, or "".

    Args:
        content_type: the header.
    """
    label = charset_of([content_type])
    encoding = webencodings.lookup(label) if label.isascii() else None
    if encoding is None or encoding.name in {"replacement", "x-user-defined"}:
        return ""
    return "gb18030" if encoding.name == "gbk" else str(encoding.codec_info.name)


#: How text in UTF-16 begins: with a byte order mark, or with ASCII.
_WIDE = (
    (re.compile(rb"\xff\xfe|[\t-~]\0[\t-~]\0"), "utf-16-le"),
    (re.compile(rb"\xfe\xff|\0[\t-~]\0[\t-~]"), "utf-16-be"),
)


def codec_of(body: bytes, content_type: str) -> str:
    """An encoding in which a body can be read, and written again as the same bytes.

    Args:
        body: the bytes.
        content_type: the header, whose charset need not be right.
    """
    wide = next((codec for start, codec in _WIDE if start.match(body)), "")
    for codec in (declared_codec(content_type), wide, "utf-8"):
        try:
            if codec and body.decode(codec).encode(codec) == body:
                return codec
        except UnicodeError:
            continue
    return "latin-1"


def _unquoted(text: str) -> str:
    for encoding in ("utf-8", "gb18030"):
        try:
            return unquote_plus(text, encoding, "strict")
        except UnicodeDecodeError:
            continue
    return text


@functools.lru_cache(maxsize=8)
def _compiled(texts: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join("".join(map(_forms_of, text)) for text in texts))


def _any_of(texts: Iterable[str]) -> re.Pattern[str]:
    """Matches any of the texts, in whatever way its characters are encoded."""
    return _compiled(tuple(texts))


@functools.cache
def _forms_of(character: str) -> str:
    r"""A regular expression for a character: as it is, %-escaped (also twice), \u-escaped, ..."""
    if character == "\\":
        return f"(?:{_BACKSLASH})+"
    forms = {re.escape(character), *_OTHER_FORMS.get(character, ())}
    for encoding in ("utf-8", "gb18030"):
        raw = character.encode(encoding, "surrogatepass" if encoding == "utf-8" else "replace")
        forms.add(re.escape(raw.decode("latin-1")))  # in a header
        forms.add("".join(map(_byte_form, raw)))
    units = character.encode("utf-16-be", "surrogatepass")
    pairs = zip(units[::2], units[1::2], strict=True)
    forms.add("".join(f"(?:{_BACKSLASH})+u{_hex(high * 256 + low, 4)}" for high, low in pairs))
    forms |= {f"&#{ord(character)};", f"&#[xX]0*{_hex(ord(character), 1)};"}
    before = f"(?:{_BACKSLASH})*" if character in "\"'/" else ""
    return f"{before}(?:{'|'.join(sorted(forms, key=len, reverse=True))})"


def _byte_form(byte: int) -> str:
    escaped = f"%(?:25)*{_hex(byte, 2)}"
    return f"(?:{escaped}|{re.escape(chr(byte))})" if byte < 0x80 else escaped


_BACKSLASH = r"\\|%(?:25)*5[cC]"
#: Besides: in a form, in HTML.
_OTHER_FORMS = {
    " ": (r"\+",),
    '"': ("&quot;",),
    "'": ("&apos;",),
    "&": ("&amp;",),
    "<": ("&lt;",),
    ">": ("&gt;",),
}


def _hex(number: int, digits: int) -> str:
    """A regular expression for a number in hexadecimal, in both cases."""
    return "".join(f"[{d}{d.upper()}]" if d.isalpha() else d for d in f"{number:0{digits}x}")


def _base64_cores(secret: str) -> Iterator[str]:
    """The base64 forms of a secret at any offset, as in "user:password"."""
    raw = secret.encode()
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + raw)
        first, last = -(-before * 8 // 6), (before + len(raw)) * 8 // 6
        core = encoded[first:last].decode()
        if len(core) >= 5:  # less is found in any picture
            yield core
            if core != (for_urls := core.translate(_FOR_URLS)):
                yield for_urls


_FOR_URLS = str.maketrans("+/", "-_")
