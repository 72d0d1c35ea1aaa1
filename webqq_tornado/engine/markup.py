"""HTML and XML of responses: where their links lead, and parsel's selectors of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .decoding import decode
from .urls import in_charset, join_url

if TYPE_CHECKING:
    from parsel import Selector, SelectorList

__all__ = ["base_of", "document_charset", "is_markup", "links_of", "select_css", "selector_of"]

_MARKUP = re.compile(r"(?:text|application)/(?:html|(?:[\w.-]+\+)?xml)\b", re.IGNORECASE)
_HTML = re.compile(r"(?:text/html|application/xhtml\+xml)\b", re.IGNORECASE)


def is_markup(content_type: str) -> bool:
    """Return whether a body is HTML or XML, or may be: it has no type.

    Args:
        content_type: the header, "" for none.
    """
    return not content_type or _MARKUP.match(content_type) is not None


def selector_of(body: bytes, charset: str, content_type: str) -> Selector:
    """Return parsel's selector of a document.

    Args:
        body: the document.
        charset: see `document_charset`.
        content_type: the header: XML that is no XHTML is parsed as XML, all else as HTML.

    Raises:
        ImportError: parsel is not installed.
    """
    try:
        from parsel import Selector  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ImportError(
            'links(), css(), xpath() and selector need parsel: pip install "webqq_tornado[crawl]"'
        ) from error
    text = decode(body, charset)
    is_xml = bool(_MARKUP.match(content_type)) and not _HTML.match(content_type)
    return Selector(text=text, type="xml" if is_xml else "html")


def document_charset(body: bytes, content_type: str) -> str:
    """Return the charset that a document declares itself, as in `<meta charset=gbk>`; "" for none.

    Args:
        body: the document.
        content_type: the header; of a type that is no HTML or XML nothing is looked at.
    """
    if not is_markup(content_type):
        return ""
    try:
        from w3lib.encoding import html_body_declared_encoding  # noqa: PLC0415 - parsel brings it
    except ImportError:
        return ""  # who wants to select is told that parsel is missing

    name = html_body_declared_encoding(body) or ""
    # UTF-16 has no byte that would say so in ASCII (HTML, 13.2.3.2).
    return "" if name.startswith("utf-16") else _LABELS.get(name, name)


#: Codecs of Python whose names are no labels of WHATWG's.
_LABELS = {
    "big5hkscs": "big5",
    "cp874": "windows-874",
    "cp932": "shift_jis",
    "cp949": "euc-kr",
    "mac-roman": "macintosh",
}


def select_css(selector: Selector, query: str) -> SelectorList[Selector]:
    """Select by CSS.

    Args:
        selector: of a document.
        query: CSS.

    Raises:
        ValueError: the query is malformed, as for XPath.
    """
    try:
        return selector.css(query)
    except (SyntaxError, RuntimeError) as error:  # cssselect's, of what it cannot parse or express
        raise ValueError(f"CSS selector {query!r}: {error}") from error


def links_of(selector: Selector, url: str, charset: str) -> list[str]:
    """Return where the `a` and `area` elements of a document lead: http and https alone.

    Args:
        selector: of the document.
        url: of the document; its first `base` element with an `href` counts more (HTML, 4.2.3).
        charset: of the document, in which queries are escaped.

    Returns:
        URLs without fragments, in the order of the document, each once.
    """
    base = base_of(selector, url)
    hrefs = selector.xpath("//a/@href | //area/@href").getall()
    found = (_joined(base, in_charset(href, charset)) for href in hrefs)
    return list(dict.fromkeys(link for link in found if link))


def base_of(selector: Selector, url: str) -> str:
    """Return the URL that links of a document are relative to.

    Args:
        selector: of the document.
        url: of the document; its first `base` element with an `href` counts more (HTML, 4.2.3).
    """
    # A base that is malformed, or of another scheme, counts for nothing.
    return _joined(url, selector.xpath("string(//base[@href][1]/@href)").get() or "") or url


def _joined(base: str, href: str) -> str | None:
    """The URL, or None if it is of another scheme or malformed."""
    try:
        url = join_url(base, href)
    except ValueError:
        return None
    # No fragments: they are places of one page, which would be asked for again and again.
    return url.partition("#")[0] if url.startswith(("http://", "https://")) else None
