"""Connections to the databases that administrators and providers have: their URLs and settings."""

from __future__ import annotations

import uuid
from typing import Any

import asyncpg
import pytest

from webqq_tornado.journal import JournalError, PostgresJournal


async def ask(postgres: str, *statements: str) -> None:
    connection = await asyncpg.connect(postgres)
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


@pytest.fixture
async def role(postgres: str) -> Any:
    """The name of a user, and of a schema of their own, who may do nothing else."""
    name = f"r{uuid.uuid4().hex}"
    await ask(
        postgres,
        f"CREATE ROLE {name} LOGIN",
        f"CREATE SCHEMA {name}",
        f"GRANT USAGE, CREATE ON SCHEMA {name} TO {name}",
    )
    return name


def url_of(postgres: str, role: str) -> str:
    return f"{postgres.replace('tests@', f'{role}@')}&schema={role}"


async def test_a_schema_that_the_administrator_has_made_will_do(postgres: str, role: str):
    async with await PostgresJournal(url_of(postgres, role)).open("crawl.py:Crawl") as journal:
        assert (await journal.summary()).flow == "crawl.py:Crawl"


async def test_limits_that_others_have_do_not_end_the_connection(postgres: str, role: str):
    limits = ("statement_timeout", "lock_timeout", "idle_session_timeout")
    await ask(
        postgres,
        *(f"ALTER ROLE {role} SET {limit} = '1s'" for limit in limits),
        f"ALTER ROLE {role} SET default_transaction_isolation = 'serializable'",
    )
    async with await PostgresJournal(url_of(postgres, role)).open("crawl.py:Crawl") as journal:
        found = [await journal._db.fetchval(f"SHOW {limit}") for limit in limits]
        level = await journal._db.fetchval("SHOW transaction_isolation")
    assert (found, level) == (["0"] * 3, "read committed")


async def test_a_replica_is_told_from_a_server_that_does_not_run(postgres: str, role: str):
    await ask(postgres, f"ALTER ROLE {role} SET default_transaction_read_only = on")
    with pytest.raises(JournalError, match="a replica: name the primary") as caught:
        await PostgresJournal(url_of(postgres, role)).open("crawl.py:Crawl")
    # In the middle of a run it may be about to be the primary again.
    assert caught.value.is_passing


async def test_a_database_that_has_not_all_characters_is_refused(postgres: str):
    name = f"d{uuid.uuid4().hex}"
    await ask(
        postgres,
        f"CREATE DATABASE {name} ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'",
    )
    with pytest.raises(JournalError, match=r"is in LATIN1.* ENCODING 'UTF8'"):
        await PostgresJournal(postgres.replace("/postgres?", f"/{name}?")).open("crawl.py:Crawl")
    await ask(postgres, f"DROP DATABASE {name}")


async def test_urls_of_libpq_and_providers_are_taken(database: str):
    more = "&connect_timeout=10&keepalives=1&channel_binding=prefer&application_name=mine"
    async with await PostgresJournal(f"{database}{more}").open("crawl.py:Crawl") as journal:
        assert journal.is_open
    shouted = database.replace("postgresql", "PostgreSQL")
    async with await PostgresJournal(shouted).open("crawl.py:Crawl") as journal:
        assert journal.is_open


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql://ann:ses/ame@h/x", "postgresql://...: .* write %2F for /"),
        ("postgresql://ann:ses?ame@h/x", "write %2F for /"),
        ("postgresql://ann:ses#ame@h/x", "write %2F for /"),
        ("postgresql://ann:ses@ame@h/x", "%40 for @"),
        ("postgresql://h/x?channel_binding=require", "leave it out"),
        ("postgresql://h/x?schema=" + 64 * "x", "63 bytes at most"),
        ("postgresql://127.0.0.1:1a/x", "no URL of a database"),
    ],
)
async def test_a_url_that_cannot_be_meant_is_refused_without_its_password(url: str, message: str):
    journal = PostgresJournal(url)
    with pytest.raises(JournalError, match=message) as caught:
        await journal.open("crawl.py:Crawl")
    assert "ses" not in str(caught.value)
    assert "ame" not in f"{journal!r}{journal.path}"


async def test_a_parameter_that_nobody_knows_is_named(database: str):
    with pytest.raises(JournalError, match=r'parameter "shcema".*: leave this parameter out'):
        await PostgresJournal(f"{database}&shcema=one").open("crawl.py:Crawl")
