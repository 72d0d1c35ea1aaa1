"""Actions by HTTP: GET with a query, POST with a form or JSON (OB communication/http.md)."""

from __future__ import annotations

import asyncio
from typing import Any

from tornado.httputil import parse_body_arguments
from tornado.web import stream_request_body

from ...onebot.v11.actions import (
    NO_ECHO,
    ActionError,
    Call,
    Retcode,
    build_answer,
    call_of,
    failure,
)
from ...onebot.v11.values import load, object_of
from ..handlers import LargeBody, Refusal
from .access import AccountHandler
from .account import answer_text

__all__ = ["ActionHandler"]

#: Bytes of a body: pictures travel in it as base64.
MAX_BODY = 48 * 1024**2
_FORM, _JSON = "application/x-www-form-urlencoded", "application/json"


@stream_request_body
class ActionHandler(LargeBody, AccountHandler):
    """Answers one action."""

    largest = MAX_BODY
    _begun: tuple[Call, asyncio.Task[dict[str, object]]] | None = None

    def check_before_body(self) -> None:
        """Check who comes."""
        self.enter()

    async def get(self, action: str = "", **_path: str) -> None:
        """Parameters are in the query."""
        await self._answer(action, self._query())

    async def post(self, action: str = "", **_path: str) -> None:
        """Parameters are in the body, and in the query what is not there."""
        await self._answer(action, {**self._query(), **self._body()})

    def _query(self) -> dict[str, object]:
        names = self.request.query_arguments.keys() - {"access_token"}
        return {name: self.get_query_argument(name, strip=False) for name in names}

    def _body(self) -> dict[str, object]:
        body = self.received
        kind = self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if not body.strip():
            return {}
        if kind == _FORM:
            values: dict[str, list[bytes]] = {}
            parse_body_arguments(_FORM, body, values, {})
            return {name: texts[-1].decode("utf-8", "replace") for name, texts in values.items()}
        if kind != _JSON:
            raise Refusal(406, f"Send {_JSON} or {_FORM}")
        try:
            return object_of(load(body), "the body")
        except ValueError as error:
            raise Refusal(400, f"The body is no JSON object: {error}") from None

    async def _answer(self, action: str, params: dict[str, object]) -> None:
        call = self._call(action, params)
        task = self.bot.begin(call)
        self._begun = call, task
        await asyncio.wait({task})
        if task.cancelled():
            raise Refusal(503, "The server stops, or the application has gone")
        answer = task.result()
        if answer["retcode"] == Retcode.NO_ACTION:
            self.set_status(404)
        self._write(answer)

    def on_connection_close(self) -> None:
        """Finish what was begun nevertheless, unless it waits for events that nobody would get."""
        super().on_connection_close()
        if self._begun is not None:
            self.bot.leave_behind(*self._begun)

    def _call(self, action: str, params: dict[str, object]) -> Call:
        """Of the path; POST to "/" has it in the body (GC server/http.go)."""
        if action:
            return call_of(action, params)
        named = params.get("action")
        if self.request.method != "POST" or not isinstance(named, str):
            raise Refusal(404, "Name an action: /get_status")
        try:
            return call_of(named, params.get("params"), params.get("echo", NO_ECHO))
        except ActionError as error:
            raise Refusal(400, str(error)) from None

    def _write(self, answer: dict[str, object]) -> None:
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.write(answer_text(answer))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """An answer of OneBot, with the reason."""
        error = (kwargs.get("exc_info") or (None, None))[1]
        why = error.why if isinstance(error, Refusal) else "the request cannot be answered"
        code = {404: Retcode.NO_ACTION, 401: Retcode.NO_TOKEN, 403: Retcode.WRONG_TOKEN}
        retcode = code.get(status_code, Retcode.BAD_REQUEST)
        self._write(build_answer(failure(ActionError(why, retcode))))
        self.finish()
