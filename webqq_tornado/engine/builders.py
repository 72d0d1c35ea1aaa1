"""Requests by the names of 2013: `make_get_request` and its kin."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from .body import FilePart, Multipart, form_body, form_fields, form_query, json_body
from .request import Headers, Request
from .validation import checked_headers

__all__ = ["RequestMaker"]

#: Of a query or a form.
Params = Mapping[str, Any] | Iterable[tuple[str, Any]]


class RequestMaker:
    """The part of `HTTPStream` that makes requests."""

    def make_get_url(self, url: str, params: Params | None = None) -> str:
        """The URL with the parameters in its query, after those it has, before its fragment.

        Args:
            url: absolute.
            params: names and values; a list stands for several of one name, None for none.

        Raises:
            ValueError: the URL is no text.
        """
        if not isinstance(url, str):
            raise ValueError(f"a URL is text, not {type(url).__name__}")
        added = form_query(params) if params else ""
        if not added:
            return url
        base, mark, fragment = url.partition("#")
        joint = "?" if "?" not in base else "" if base.endswith(("?", "&")) else "&"
        return base + joint + added + mark + fragment

    def make_get_request(self, url: str, params: Params | None = None, **options: Any) -> Request:
        """A GET request.

        Args:
            url: absolute.
            params: for the query.
            options: further arguments of `Request`.
        """
        return Request(self.make_get_url(url, params), **options)

    def make_post_request(
        self,
        url: str,
        params: Params | str | bytes = b"",
        *,
        json: object = None,
        files: Mapping[str, FilePart | bytes | os.PathLike[str]] | None = None,
        headers: Headers = (),
        **options: Any,
    ) -> Request:
        """A POST request.

        Args:
            url: absolute.
            params: form fields, where a list stands for several of one name and None for none; or
                a body as bytes or text.
            json: instead of params, a value to send as JSON.
            files: by field name: bytes, a path, or a `FilePart`; makes it multipart/form-data,
                with `params` as its fields. A file by path is read when it is sent.
            headers: as of `Request`; one may change the content type.
            options: further arguments of `Request`.

        Raises:
            ValueError: json goes with neither params nor files, nor NaN and infinities with JSON;
                files not with a bytes body.
            TypeError: json has no JSON form.

        Example:
            >>> stream.make_post_request(url, {"name": "a"}, files={"picture": Path("a.png")})
        """
        if json is not None and (params or files):
            raise ValueError("json is a body of its own: give it without params and files")
        if files:
            body: bytes | Multipart = _multipart(params, files)
            return Request(url, "POST", headers, body, **options)
        body, kind = json_body(json) if json is not None else form_body(params)
        items = checked_headers(headers)
        if not any(name.lower() == "content-type" for name, _ in items):
            items = (*items, ("Content-Type", kind))
        return Request(url, "POST", items, body, **options)


def _multipart(
    params: Params | str | bytes,
    files: Mapping[str, FilePart | bytes | os.PathLike[str]],
) -> Multipart:
    if isinstance(params, (str, bytes)):
        if params:
            raise ValueError("with files, params are form fields: a mapping or pairs, not a body")
        params = ()
    fields = tuple(
        (str(name), one if isinstance(one, bytes) else str(one))
        for name, one in form_fields(params)
    )
    parts = tuple(
        (name, file if isinstance(file, FilePart) else FilePart(file))
        for name, file in files.items()
    )
    return Multipart(fields, parts)
