"""Run a command's coroutine, and tell its expected errors in one line."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any

import click

from ..engine.errors import StreamError
from ..flows.bot import PluginError
from ..flows.client import LoginError
from ..flows.store import StoreError
from ..protocol.errors import ProtocolError
from ..server.app import PortTaken
from ..server.storage import StorageError
from ..server.tls import CertificateError

__all__ = ["INTERRUPTED", "run_coroutine"]

#: What a shell says of a process that Ctrl-C has ended.
INTERRUPTED = 130

#: What can go wrong without anybody's program being wrong.
_EXPECTED = (
    CertificateError,
    LoginError,
    PluginError,
    PortTaken,
    StorageError,
    StoreError,
    StreamError,
)


def run_coroutine(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """What it returns; an error that nobody's program is to blame for ends the command."""
    try:
        return asyncio.run(coroutine)
    except ProtocolError as error:
        raise click.ClickException(f"that is no WebQQ server: {error}") from None
    except _EXPECTED as error:
        text = getattr(error, "message", None) or getattr(error, "strerror", None) or str(error)
        raise click.ClickException(text) from None
    except (KeyboardInterrupt, asyncio.CancelledError, click.Abort):
        sys.exit(INTERRUPTED)
