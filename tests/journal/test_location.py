"""Locations of journals: files, and databases of one kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from webqq_tornado import HTTPStream
from webqq_tornado.journal import Journal, JournalError
from webqq_tornado.shards.running import ShardRun


@pytest.mark.parametrize("make", [Journal, lambda url: HTTPStream(journal=url)])
@pytest.mark.parametrize("scheme", ["mysql", "sqlite", "postgresql+asyncpg"])
def test_the_url_of_another_database_is_no_path(
    make: object, scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(JournalError) as caught:
        make(f"{scheme}://ann:sesame@127.0.0.1/crawl")  # type: ignore[operator]
    shown = str(caught.value)
    assert shown.startswith(f"{scheme}://...: a journal is a file, such as crawl.db, or")
    assert "sesame" not in shown
    assert not [*tmp_path.iterdir()]


def test_shards_refuse_it_too():
    with pytest.raises(JournalError, match=r"mysql://\.\.\.: a journal is a file"):
        ShardRun(HTTPStream, lambda *_: HTTPStream(), "mysql://h/x", "local:1", shards=1)
