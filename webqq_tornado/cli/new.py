"""The command `new`: a bot or flow to begin with, typed, and a test of it that passes."""

from __future__ import annotations

import importlib.util
import keyword
from pathlib import Path
from string import Template

import click

from .console import Screen, printable
from .param_types import TEXT

__all__ = ["new"]

_BOT = '''\
"""$title: a plugin, which answers friends and groups."""

from webqq_tornado.bot import Message, bot


@bot.command("hello", help="says hello", rate="10/min")
def hello(message: Message) -> None:
    """Say hello to the author."""
    message.reply(f"hello {message.sender}")
'''

_BOT_TEST = '''\
"""The bot answers a friend, on a server of its own."""

import asyncio
from pathlib import Path

from webqq_tornado import HTTPStream
from webqq_tornado.bot import Bot, Message
from webqq_tornado.client import Client, Endpoints
from webqq_tornado.server import Storage, WebQQServer


async def answer_to(text: str, folder: Path) -> str:
    """Send a text to the bot, and return its answer."""
    storage = Storage(folder / "server.db")
    bot, ann = (storage.accounts.create(nick, "secret").number for nick in ("Bot", "Ann"))
    storage.friends.befriend(bot, ann)
    server = WebQQServer(storage)
    server.listen(0)
    answers: asyncio.Queue[str] = asyncio.Queue()
    async with HTTPStream() as stream:
        here = Endpoints.at(server.url)
        client, user = (Client(stream, number, "secret", here) for number in (bot, ann))
        tested, ear = Bot(client), Bot(user)
        tested.load_plugin(Path(__file__).with_name("$name.py"))

        @ear.on_message
        def hear(message: Message) -> None:
            answers.put_nowait(message.text)

        await asyncio.gather(client.login(), user.login())
        user.send(await user.resolve(bot), text)
        answer = await asyncio.wait_for(answers.get(), 30)
        tested.close()
        ear.close()
        await asyncio.gather(client.logout(), user.logout())
    await server.close()
    return answer


def test_the_bot_says_hello(tmp_path: Path) -> None:
    assert asyncio.run(answer_to("hello", tmp_path)) == "hello Ann"
'''

_FLOW = '''\
"""$title: a flow, which follows the pages of a list."""

import sys

from webqq_tornado import HTTPStream, Link, Response


class $kind(HTTPStream):
    """Reads all items of a list."""

    def __init__(self, url: str = "http://127.0.0.1:8200") -> None:
        super().__init__(base_url=url)
        self.names: list[str] = []

    def begin(self) -> Link:
        """Start with the first page."""
        return self.get("prices", self.read, timeout=30)

    def read(self, response: Response) -> Link:
        """Keep the names, and go on to the next page."""
        page = response.raise_for_status().json()
        self.names += [item["name"] for item in page["items"]]
        return self.get(page["next"], self.read) if page["next"] else None


if __name__ == "__main__":
    flow = $kind(*sys.argv[1:])
    flow.run(strict=True)
    print(*flow.names, sep="\\n")
'''

_FLOW_TEST = '''\
"""The flow reads all pages of a server on loopback."""

import asyncio

from $name import $kind as Subject
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler


class Prices(RequestHandler):
    """Two pages."""

    def get(self) -> None:
        """Answer with a page."""
        if self.get_argument("page", "1") == "1":
            self.write({"items": [{"name": "apple"}], "next": "/prices?page=2"})
        else:
            self.write({"items": [{"name": "bread"}], "next": None})


async def names() -> list[str]:
    """Run the flow, and return what it has read."""
    socket, port = bind_unused_port()
    server = HTTPServer(Application([("/prices", Prices)]))
    server.add_socket(socket)
    flow = Subject(f"http://127.0.0.1:{port}")
    await flow.serve(strict=True)
    server.stop()
    return flow.names


def test_the_flow_reads_all_pages() -> None:
    assert asyncio.run(names()) == ["apple", "bread"]
'''

#: Program, test, and the command that runs it.
_TEMPLATES = {
    "bot": (_BOT, _BOT_TEST, "python -m webqq_tornado --plugin $name.py"),
    "flow": (_FLOW, _FLOW_TEST, "python -m webqq_tornado run $name.py:$kind http://127.0.0.1:8200"),
}


@click.command()
@click.argument("kind", type=click.Choice(sorted(_TEMPLATES)), metavar="bot|flow")
@click.argument("name", type=TEXT)
def new(kind: str, name: str) -> None:
    """Write NAME.py, a bot or flow to begin with, and its test.

    Both are typed; test_NAME.py passes. NAME is a Python name, such as weather. Files that are
    there already stay as they are.

    \b
    Examples:
      python -m webqq_tornado new bot weather
      python -m webqq_tornado new flow price_list
    """  # noqa: D301 - click reads the backspace
    _check(name)
    program, test, command = (Template(text) for text in _TEMPLATES[kind])
    values = {
        "name": name,
        "title": name.replace("_", " ").capitalize(),
        "kind": _class_name(name),
    }
    files = {Path(f"{name}.py"): program, Path(f"test_{name}.py"): test}
    for path in files:
        if path.exists() or path.is_symlink():
            raise click.ClickException(f"{path} is there already: take another name")
    for path, template in files.items():
        with path.open("x", encoding="utf-8") as file:
            file.write(template.substitute(values))
    screen = Screen()
    screen.say(f"{name}.py and test_{name}.py are written. Next:")
    screen.say(f"  python -m pytest test_{name}.py", f"  {command.substitute(values)}")


def _class_name(name: str) -> str:
    # Not `capitalize`, which would make Pricelist of PriceList.
    kind = "".join(part[:1].upper() + part[1:] for part in name.split("_"))
    return f"{kind}Flow" if kind in _IMPORTED or not kind.isidentifier() else kind


#: What the program imports: a class of that name would hide it.
_IMPORTED = frozenset({"HTTPStream", "Link", "Response"})


def _check(name: str) -> None:
    """Refuse a name that no module can have, or that another has."""
    if not name.isidentifier() or not name.isascii() or keyword.iskeyword(name):
        raise click.UsageError(
            f"{printable(name)!r} is no Python name: take letters, digits and _, as in price_list"
        )
    if not Path(f"{name}.py").exists() and importlib.util.find_spec(name) is not None:
        raise click.UsageError(
            f"{name} is a module of Python's, or of a package: take another name"
        )
