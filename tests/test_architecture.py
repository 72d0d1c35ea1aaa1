"""The architecture, held: imports point down, each layer stands alone, the surface is a list."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import subprocess
import sys
import textwrap
from pathlib import Path
from types import ModuleType
from typing import get_origin

import pytest

import webqq_tornado

PACKAGE = Path(webqq_tornado.__file__).parent
MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path
    for path in PACKAGE.rglob("*.py")
}
#: What each layer may import of ours, and of others.
LAYERS = {
    "engine": (
        {"engine", "files", "journal", "metrics", "cache"},
        {"tornado", "pycurl", "certifi", "webencodings", "ada_url", "websockets", "parsel", "w3lib"}
        | {"brotli"},
    ),
    "httpclient": ({"engine"}, {"tornado"}),
    "auth": ({"engine"}, set()),
    "eventsource": ({"engine"}, set()),
    "har": ({"engine", "files"}, set()),
    "cache": ({"cache", "engine", "database"}, {"hishel"}),
    "metrics": ({"engine"}, {"tornado", "prometheus_client"}),
    "otel": ({"engine", "metrics"}, {"opentelemetry"}),
    "dashboard": ({"dashboard", "engine", "metrics"}, {"tornado"}),
    "retry": ({"engine"}, {"tenacity", "pybreaker"}),
    "protocol": ({"protocol"}, set()),
    "onebot": ({"onebot", "protocol"}, set()),
    "database": ({"files"}, set()),
    "shards": ({"shards", "engine", "journal", "lazy"}, {"distributed"}),
    "journal": ({"journal", "database", "files", "lazy", "lockfile"}, {"asyncpg"}),
    "files": (set(), set()),
    "lockfile": ({"files"}, set()),
    "lazy": (set(), set()),
    "deprecation": (set(), set()),
    "client": (
        {
            *("client", "engine", "protocol", "onebot", "retry", "eventsource"),
            *("database", "files", "lazy", "lockfile"),
        },
        {"tenacity", "tornado"},
    ),
    "bot": (
        {"bot", "client", "engine", "protocol", "files", "lazy"},
        {"cronsim", "tzlocal"},
    ),
    "examples": (
        {*webqq_tornado.__all__, "flows", "auth", "retry", "bot", "client"},
        {"tornado"},
    ),
    "flows": (
        {"flows", "engine", "retry", "auth", "files", "journal", "lazy"},
        {"tenacity", "pyarrow", "protego", "w3lib"},
    ),
    "server": (
        {"server", "protocol", "onebot", "engine", "database", "deprecation", "files", "lazy"},
        {"tornado", "segno", "PIL", "captcha", "cryptography", "tenacity"},
    ),
    "cli": (
        {
            *("cli", "flows", "bot", "client", "server", "engine", "protocol"),
            *("retry", "auth", "files", "lockfile", "dashboard", "journal", "cache", "shards"),
        },
        {
            *("click", "rich", "prompt_toolkit", "platformdirs", "tomli", "tomllib", "tornado"),
            *("PIL", "tenacity"),
        },
    ),
}


def imports_of(name: str, *, for_types: bool = True) -> set[str]:
    """Full names of the modules that one imports, whatever the condition.

    Args:
        name: of the module.
        for_types: also those that only type checkers import.
    """
    path = MODULES[name]
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    package = package.removesuffix(".__init__")
    found = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if not for_types:
        tree.body = [node for node in tree.body if not _is_for_types(node)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join(parts) if node.level else ""
            module = ".".join(filter(None, (base, node.module)))
            is_package = (PACKAGE.parent / Path(*module.split("."))).is_dir()
            found.update(f"{module}.{a.name}" if is_package else module for a in node.names)
    return found


@pytest.mark.parametrize("name", sorted(MODULES))
def test_imports_point_down(name: str):
    layer = name.split(".")[1]
    if layer not in LAYERS:
        return
    ours, others = LAYERS[layer]
    for imported in imports_of(name):
        top, _, rest = imported.partition(".")
        if top == "webqq_tornado":
            assert rest.split(".")[0] in ours | {"__version__"}, f"{name} imports {imported}"
        elif top not in sys.stdlib_module_names:
            assert top in others, f"{name} imports {imported}"


def test_libcurl_is_used_by_the_transport_and_sessions_alone():
    users = {name for name in MODULES if "pycurl" in imports_of(name)}
    outside = {name for name in users if not name.startswith("webqq_tornado.engine.transport.")}
    assert outside == {"webqq_tornado.engine.session"}


def test_only_an_account_by_onebot_listens():
    users = {
        name
        for name in MODULES
        if name.startswith("webqq_tornado.client.")
        and any(each.startswith("tornado") for each in imports_of(name))
    }
    assert users == {"webqq_tornado.client.onebot.listener"}


def _is_for_types(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def test_there_is_no_circle():
    graph = {
        name: {i for i in imports_of(name, for_types=False) if i in MODULES} for name in MODULES
    }
    seen: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join((*path, name))
        if name not in seen:
            for other in sorted(graph[name]):
                visit(other, (*path, name))
            seen.add(name)

    for name in sorted(graph):
        visit(name, ())


#: Modules in the longest chain of imports, at most.
DEPTH = 15


def imported_at_once(name: str) -> set[str]:
    """Our modules that a module imports when it is imported itself."""
    package, found = name.split("."), set()
    for node in ast.parse(MODULES[name].read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.level:
            base = ".".join([*package[: -node.level], *filter(None, [node.module])])
            for each in (f"{base}.{alias.name}" for alias in node.names):
                found |= {each, f"{each}.__init__"} & set(MODULES) or {base, f"{base}.__init__"}
    return found & set(MODULES) - {name}


def longest_chain(graph: dict[str, set[str]]) -> list[str]:
    """The longest chain of imports in a graph without circles."""
    chains: dict[str, list[str]] = {}

    def chain(name: str) -> list[str]:
        if name not in chains:
            below = [chain(other) for other in sorted(graph[name])]
            chains[name] = [name, *max(below, key=len, default=[])]
        return chains[name]

    return max(map(chain, sorted(graph)), key=len)


def test_no_chain_of_imports_is_long():
    graph = {name: imported_at_once(name) for name in MODULES}
    chain = longest_chain(graph)
    assert len(chain) <= DEPTH, " -> ".join(chain)


@pytest.mark.parametrize("name", sorted(MODULES))
def test_nothing_sleeps_or_starts_threads(name: str):
    refused = {"threading", "multiprocessing", "concurrent.futures", "requests", "http.client.HTTP"}
    assert not imports_of(name) & refused
    source = MODULES[name].read_text(encoding="utf-8")
    assert "time.sleep" not in source
    assert "run_in_executor" not in source


def test_the_engine_brings_nothing_of_the_other_layers():
    code = (
        "import sys; from webqq_tornado import HTTPStream\n"
        "print(*{m.split('.')[0] for m in sys.modules})"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    for package in ("click", "rich", "prompt_toolkit", "platformdirs", "tenacity"):
        assert package not in output.stdout.split()


def test_the_package_alone_brings_nothing_else():
    code = "import sys, webqq_tornado; print(*{m.split('.')[0] for m in sys.modules})"
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert not {"pycurl", "tornado", "asyncio"} & set(output.stdout.split())


FACES = {
    name: importlib.import_module(f"webqq_tornado.{name}".rstrip("."))
    for name in ("", "client", "bot", "flows", "server")
}


@pytest.mark.parametrize("face", FACES.values(), ids=lambda face: face.__name__)
def test_each_public_name_is_imported_from_where_type_checkers_see_it(face: ModuleType):
    block = next(
        node
        for node in ast.parse(Path(str(face.__file__)).read_text("utf-8")).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    shown = {
        alias.name: "." * (node.level - 1) + str(node.module)
        for node in imports
        for alias in node.names
    }
    assert shown == face._MODULE_OF
    assert set(shown) == set(face.__all__)


@pytest.mark.parametrize(
    ("name", "public"),
    [
        (
            "client",
            "ActionFailed At Attachment Client Contact ContactError Content Dialect Endpoints "
            "Entry Face IncomingMessage Kind LOGGED_IN LOGGED_OUT Listener LoginError "
            "OneBotAccount OutcomeUnknown PasswordNeeded Receipt Reply SMARTQQ Secret SendError "
            "SendLimits State StateChange Store StoreError Stranger WEBQQ3 WrongPassword",
        ),
        (
            "bot",
            "Bot ContactError Cron Every GROUP_ADMIN GROUP_OWNER Handler Message NoAnswerError "
            "OWNER Permission Person PluginError Rate bot",
        ),
        ("flows", "Crawl Export ItemFile Job Mirror Monitor Flow Report Sync"),
        ("server", "OneBotSettings PortTaken Storage StorageError WebQQServer certificates"),
    ],
)
def test_the_names_of_each_package_are_these(name: str, public: str):
    assert sorted(FACES[name].__all__) == sorted(public.split())


def test_the_public_names_are_these():
    assert sorted(webqq_tornado.__all__, key=str.lower) == [
        "AddressError",
        "Attempt",
        "AuthError",
        "BodyStream",
        "Chain",
        "CircuitOpenError",
        "ClosedError",
        "ConnectError",
        "CookieJar",
        "DeadlineError",
        "Errback",
        "FilePart",
        "Gather",
        "Hop",
        "HTTPStream",
        "Limits",
        "Link",
        "LinkError",
        "LoggedOut",
        "Multipart",
        "Next",
        "Progress",
        "ProtocolError",
        "ProxyError",
        "Readback",
        "RedirectError",
        "ReplayError",
        "Request",
        "ResolveError",
        "Response",
        "Session",
        "SocketMessage",
        "State",
        "Stats",
        "StatusError",
        "StreamError",
        "TimeoutError",
        "TLSError",
        "TooLargeError",
    ]


@pytest.mark.parametrize("name", sorted({*webqq_tornado.__all__} - {"Errback", "Link", "Readback"}))
def test_a_public_name_is_documented(name: str):
    thing = getattr(webqq_tornado, name)
    assert inspect.getdoc(thing)
    for attribute, value in vars(thing).items():
        if inspect.isfunction(value) and not attribute.startswith("_"):
            assert inspect.getdoc(value), f"{name}.{attribute}"


DOCUMENTED = (
    *(
        "",
        ".retry",
        ".auth",
        ".cache",
        ".eventsource",
        ".har",
        ".httpclient",
        ".journal",
        ".metrics",
        ".shards",
        ".otel",
        ".dashboard",
    ),
    *(".client", ".bot", ".flows", ".server"),
)


def public_things() -> list[tuple[str, object]]:
    """What users import, by full name."""
    modules = [importlib.import_module(f"webqq_tornado{name}") for name in DOCUMENTED]
    names = [(module, name) for module in modules for name in module.__all__]
    things = [(f"{module.__name__}.{name}", getattr(module, name)) for module, name in names]
    is_documented = (inspect.isclass, inspect.isroutine)
    # Before 3.11 an alias such as Callable[[int], str] passes for a class.
    named = [(name, thing) for name, thing in things if get_origin(thing) is None]
    return [(name, thing) for name, thing in named if any(f(thing) for f in is_documented)]


@pytest.mark.parametrize(("name", "thing"), public_things())
def test_what_users_import_has_an_example_that_is_python(name: str, thing: object):
    examples = doctest.DocTestParser().get_examples(inspect.getdoc(thing) or "")
    if not (isinstance(thing, type) and issubclass(thing, Exception)):
        assert examples, f"{name} has no example"
    for example in examples:
        ast.parse(textwrap.dedent(example.source))


@pytest.mark.parametrize(("name", "thing"), public_things())
def test_what_users_call_has_its_arguments_documented(name: str, thing: object):
    for attribute, value in vars(thing).items() if isinstance(thing, type) else ():
        function = getattr(value, "__func__", value)
        if attribute.startswith("_") or not inspect.isfunction(function):
            continue
        documentation = inspect.getdoc(function) or ""
        given = set(inspect.signature(function).parameters) - {"self", "cls"}
        assert not given or "Args:" in documentation or "See `" in documentation, attribute
