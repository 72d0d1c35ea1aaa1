"""Values that go into a journal and come out of it."""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = [
    "COLUMNS",
    "FIRST_OF_SHARDS",
    "READY",
    "Batch",
    "ChainRow",
    "Counts",
    "Failed",
    "KeyOwner",
    "ListedChain",
    "ShardCounts",
    "Summary",
    "bare_name",
]


class ChainRow(NamedTuple):
    """A chain that is alive, with the link that it is to send; or one that has failed.

    Args:
        id: of it, for good.
        step: number of its link.
        name: for logs; None: made of the id.
        key: hash of its key, None if it has none.
        url: of the request.
        request: JSON of what else was said of it.
        body: of the request.
        reader: name and arguments' shape of the reader.
        args: arguments of the reader, as text of `codec`.
        errback, errback_args: likewise.
        data: keyword arguments of both.
        session: its name; "" is the stream's own.
        priority: of the link.
        due: Unix time at which it is to be sent; None: at once.
        delay: seconds that were to be waited.
        deadline: Unix time at which the chain is to fail.
        tries: failed ones, of the link.
        draft: id of the chain whose reader has not returned yet; None: it has.

    Example:
        >>> ChainRow(1, 1, "first", None, "http://example.org/").url
        'http://example.org/'
    """

    id: int
    step: int
    name: str | None
    key: bytes | None
    url: str
    request: str | None = None
    body: bytes | None = None
    reader: str | None = None
    args: str | None = None
    errback: str | None = None
    errback_args: str | None = None
    data: str | None = None
    session: str = ""
    priority: int = 0
    due: float | None = None
    delay: float | None = None
    deadline: float | None = None
    tries: int = 0
    draft: int | None = None


#: Columns of a `ChainRow`, in SQL.
COLUMNS = ", ".join(ChainRow._fields)
#: Condition of the rows of chains that are alive, and that their reader has not drafted only.
READY = "error IS NULL AND draft IS NULL"
#: Columns of a `ListedChain`.
LISTED = "id, name, step, url, reader, due, error, trace, failed, shard"
#: Rows of `ShardCounts`, in both dialects.
SHARD_COUNTS = (
    f"SELECT shard, count(*) FILTER (WHERE {READY} AND due IS NULL), count(*) FILTER (WHERE error"
    " IS NULL AND due IS NOT NULL), count(error), min(due) FILTER (WHERE error IS NULL)"
    " FROM chains GROUP BY shard ORDER BY shard"
)
#: When each shard has something to do, in both dialects: by an index, however many chains wait.
FIRST_OF_SHARDS = (
    "SELECT shard, due FROM (SELECT shard, (SELECT coalesce(due, 0) FROM chains"
    f" WHERE chains.shard = shards.shard AND {READY} ORDER BY {{order}} LIMIT 1)"
    " AS due FROM shards) AS firsts WHERE due IS NOT NULL"
)


class Failed(NamedTuple):
    """The error that ended a chain.

    Args:
        at: Unix time.
        error: class and message.
        trace: the traceback.
    """

    at: float
    error: str
    trace: str


class Batch:
    """Contents of one transaction.

    Attributes:
        new: rows of chains that were begun.
        changed: rows of chains with their next link, by id: the last of each.
        led: step and URL of chains of which only these are others, by id.
        moved: the same where only step, due time, delay and tries are others, by id.
        failed: what ended chains, by id.
        ended: ids of chains to delete.
        keys: hashes, and the chain that each leads to.
        results: chain, step and number in it (-1: any), and text of each result.
        settled: ids of chains whose drafts are to become chains and results of their own.
        spilled: how many results these have among their drafts.
        sessions: cookies by the session's name; None: forget them.
        steps, done, cancelled: counts to add.
        last_chain: the highest id so far.
        begun: links of `begin` so far; None: as before.
        is_begun_all: there are no more of these.
        state: text of it; None: as before.
        away: shard of each new or changed row that is another one's.
        lost: ids of chains whose key another one has followed, of a journal that is shared.
    """

    __slots__ = (
        *(
            "away",
            "begun",
            "cancelled",
            "changed",
            "done",
            "ended",
            "failed",
            "is_begun_all",
            "keys",
        ),
        *(
            "last_chain",
            "led",
            "lost",
            "moved",
            "new",
            "results",
            "sessions",
            "settled",
            "spilled",
            "state",
        ),
        "steps",
    )

    def __init__(self) -> None:
        self.new: dict[int, ChainRow] = {}
        self.changed: dict[int, ChainRow] = {}
        self.led: dict[int, tuple[int, str]] = {}
        self.moved: dict[int, tuple[int, float | None, float | None, int]] = {}
        self.failed: dict[int, Failed] = {}
        self.ended: dict[int, None] = {}
        self.keys: dict[bytes, int] = {}
        self.results: list[tuple[int, int, int, str]] = []
        self.settled: list[int] = []
        self.sessions: dict[str, bytes | None] = {}
        self.steps = self.done = self.cancelled = self.last_chain = self.spilled = 0
        self.begun: int | None = None
        self.is_begun_all = False
        self.state: str | None = None
        self.away: dict[int, int] = {}
        self.lost: list[int] = []

    def drops(self, one: int, key: bytes) -> bool:
        """Leave out the link of a chain since another process has followed its key.

        Args:
            one: id of the chain.
            key: that it had.

        Returns:
            False: no link has this key, which a reader has noted by itself.
        """
        row = self.new.get(one) or self.changed.get(one)
        if row is None or row.key != key:
            return False
        if self.new.pop(one, None) is None:
            del self.changed[one]
            self.ended[one] = None
            self.done += 1
        self.away.pop(one, None)
        self.steps -= 1
        return True


class Counts(NamedTuple):
    """Numbers that a journal has counted.

    Args:
        begun: links of `begin`.
        is_begun_all: there are no more.
        steps: links of all chains.
        done: chains that have ended well.
        cancelled: that were cancelled.
        results: that were emitted.
        last_chain: the highest id that a chain has had.
        last_item: the highest number of a result.
        state: text of `HTTPStream.state`.
    """

    begun: int
    is_begun_all: bool
    steps: int
    done: int
    cancelled: int
    results: int
    last_chain: int
    last_item: int
    state: str | None


class KeyOwner(NamedTuple):
    """The chain that has a key.

    Args:
        chain: its id; 0: no chain has it, and it was followed.
        error: what has ended it; None: nothing has.
        shard: whose it is; None: it has ended.
        is_away: another shard has written it, and its own has not taken it yet.
    """

    chain: int
    error: str | None
    shard: int | None
    is_away: bool


class ListedChain(NamedTuple):
    """A chain as `Journal.chains` shows it.

    Args:
        id: of it.
        name: of it.
        step: number of its link.
        url: of that; may have secrets in it.
        reader: name of the reader, "" if it has none.
        due: Unix time at which it is sent; None: at once.
        error: what has ended it; None: nothing has.
        trace: the traceback.
        failed: Unix time of that.
        shard: that it belongs to.

    Example:
        >>> [chain.url for chain in Journal("crawl.db").chains(failed=True)]
        ['http://example.org/missing']
    """

    id: int
    name: str
    step: int
    url: str
    reader: str
    due: float | None
    error: str | None
    trace: str | None
    failed: float | None
    shard: int = 0


class ShardCounts(NamedTuple):
    """How many chains a shard has.

    Args:
        shard: its number.
        ready: with a link to send.
        delayed: whose link is to be sent later.
        failed: that have failed.
        next_due: Unix time of the first that is delayed; None: none is.
    """

    shard: int
    ready: int
    delayed: int
    failed: int
    next_due: float | None


class Summary(NamedTuple):
    """Progress of a flow.

    Args:
        flow: file and name of its class.
        created: Unix time.
        finished: Unix time at which all had ended; None: it has not.
        ready: chains with a link to send.
        delayed: chains whose link is to be sent later.
        next_due: Unix time of the first of these.
        done, failed, cancelled: chains.
        steps: links so far.
        results: so far; `waiting` of them are not exported.
        is_begun_all: `begin` has no more links.
        pid: of the process that runs it; 0: none does.

    Example:
        >>> Journal("crawl.db").summary().failed
        0
    """

    flow: str
    created: float
    finished: float | None
    ready: int
    delayed: int
    next_due: float | None
    done: int
    failed: int
    cancelled: int
    steps: int
    results: int
    waiting: int
    is_begun_all: bool
    pid: int

    def as_dict(self) -> dict[str, Any]:
        """The same by name."""
        return self._asdict()


def bare_name(reader: str | None) -> str:
    """Return the name of a reader without the shape of its arguments.

    Args:
        reader: as in a row.
    """
    return "" if reader is None else reader.partition("(")[0].lstrip(".:")
