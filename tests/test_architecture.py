"""The house stays as it was laid out: imports point one way, SQL stands in one place, nothing grows without end."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from caf.log import EVENTS

TOP = Path(__file__).resolve().parents[1]
CAF = TOP / "caf"
NOT_PYTHON_YET = CAF / "demo" / "templates"  # rendered before it runs
MODULES = sorted(path for path in CAF.rglob("*.py") if NOT_PYTHON_YET not in path.parents)
TESTS = sorted((TOP / "tests").rglob("*.py"))

# What stands on one level does not import each other; everything imports downwards only. The modules at the top of
# caf/ stand where their imports put them.
LEVELS = (
    {"domain", "mounts"},
    {"config", "store", "sources", "batch", "storage", "quota", "paths"}
    | {"lock", "flood", "logfile", "notify", "shipped", "smtp", "wording"},
    {"fullness"},
    {"attention", "log"},
    {"report"},
    {"tasks"},
    {"duty", "heartbeat"},
    {"force"},
    {"opening"},
    {"supervisor", "demo", "legacy"},
    {"cli"},
    {"__main__"},
)
LEVEL_OF = {part: number for number, parts in enumerate(LEVELS) for part in parts}
STANDARD_LIBRARY_ONLY = {"domain", "mounts", "sources", "storage", "batch", "quota"}
RUN_TIME = {"anyio", "aiosqlite", "pydantic", "structlog", "typer"}
OUTSIDE = {  # who may import what from outside
    "pydantic": {"config"},
    "typer": {"cli"},
    "aiosqlite": {"store"},
    "structlog": {"log"},
    "anyio": {"supervisor", "force", "duty", "heartbeat", "tasks"},
}


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """Give all of a module's syntax tree, in the order of `ast.walk`."""
    return tuple(ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))))


@pytest.fixture(autouse=True, scope="module")
def _forgotten() -> Iterator[None]:
    """Millions of nodes would be looked through again and again while other tests run."""
    yield
    nodes.cache_clear()


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(TOP).with_suffix("").parts).removesuffix(".__init__")


def part_of(module: str) -> str:
    """Give the part of caf that a module belongs to; "" for caf itself."""
    return [*module.split("."), ""][1]


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Give line and full name of everything imported, wherever in the file; `from caf import x` is caf.x."""
    for node in nodes(path):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield node.lineno, whole if node.module == "caf" else str(node.module)


def outside(name: str) -> bool:
    top = name.partition(".")[0]
    return top not in sys.stdlib_module_names and top != "caf"


def test_there_is_something_to_look_at() -> None:
    assert len(MODULES) > 50
    assert {part_of(name_of(path)) for path in MODULES} - {""} <= LEVEL_OF.keys()


def test_imports_point_one_way() -> None:
    wrong = []
    for path in MODULES:
        here = part_of(name_of(path))
        for line, name in imports(path):
            there = part_of(name)
            if not name.startswith("caf.") or there in {here, "__version__"}:
                continue
            if here == "" or LEVEL_OF[there] >= LEVEL_OF[here]:
                wrong.append(f"{path.relative_to(TOP)}:{line}: imports {name}")
    assert wrong == []


def test_no_two_modules_import_each_other() -> None:
    """Inside one part too: what imports in a circle cannot be understood one by one."""
    known = {name_of(path) for path in MODULES}
    graph = {}
    for path in MODULES:
        wanted = set()
        for node in nodes(path):
            if isinstance(node, ast.ImportFrom):
                wanted |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
            elif isinstance(node, ast.Import):
                wanted |= {alias.name for alias in node.names}
        graph[name_of(path)] = (wanted & known) - {name_of(path), "caf"}
    done: set[str] = set()
    while graph.keys() - done:
        ready = {name for name in graph.keys() - done if graph[name] <= done}
        assert ready, f"in a circle: {sorted(graph.keys() - done)}"
        done |= ready


def test_the_inner_parts_need_the_standard_library_only() -> None:
    wrong = [
        f"{path.relative_to(TOP)}:{line}: imports {name}"
        for path in MODULES
        if (here := part_of(name_of(path))) in STANDARD_LIBRARY_ONLY
        for line, name in imports(path)
        if outside(name) or (name.startswith("caf.") and part_of(name) not in {here, "domain", "mounts"})
    ]
    assert wrong == []


def test_each_package_from_outside_has_its_place() -> None:
    wrong = []
    for path in MODULES:
        for line, name in imports(path):
            package = name.partition(".")[0]
            if outside(name) and part_of(name_of(path)) not in OUTSIDE.get(package, set()):
                wrong.append(f"{path.relative_to(TOP)}:{line}: imports {name}")
    assert wrong == []


def test_five_packages_at_run_time() -> None:
    project = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = {re.split(r"[^A-Za-z0-9_-]", wanted)[0] for wanted in project["dependencies"]}
    assert names == RUN_TIME
    assert "optional-dependencies" not in project


# The run table's name is a word of English too, so a table counts only where SQL has one.
TABLES = set(re.findall(r"CREATE TABLE (\w+)", (CAF / "store" / "schema.sql").read_text(encoding="utf-8")))
SQL = re.compile(
    rf"\b(FROM|JOIN|INTO|UPDATE|TABLE)\s+(?:main\.)?({'|'.join(TABLES)})\b(?=\s*(?:$|\(|;|,|\"|'|WHERE|SET|JOIN|LEFT|"
    r"ORDER|GROUP|LIMIT|VALUES|DEFAULT|AS|[a-z]\b))"
)
STATEMENT = re.compile(r"\b(SELECT|INSERT|UPDATE|DELETE|CREATE|REPLACE)\b")


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Give every text constant with its line, docstrings left out, the parts of an f-string joined."""
    documented = {
        id(node.body[0].value)
        for node in nodes(path)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in nodes(path):
        if isinstance(node, ast.JoinedStr):
            parts = [str(p.value) if isinstance(p, ast.Constant) else " ? " for p in node.values]
            yield node.lineno, "".join(parts)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documented:
            yield node.lineno, node.value


def own_sql(path: Path) -> Iterator[tuple[int, str, set[str]]]:
    """Give line, text and tables of each SQL text that speaks of caf's own tables."""
    for line, text in texts(path):
        tables = {match.group(2) for match in SQL.finditer(text)}
        if tables and STATEMENT.search(text):
            yield line, text, tables


# A source's snapshot has a table `run` of its own (caf/sources/snapshot.py).
SNAPSHOT_ONLY = {"run"}
# The rehearsal compares what happened with what was rehearsed the way anyone with an SQLite shell would: it only reads.
READS_ONLY = {CAF / "demo" / "rehearsal.py"}


def test_only_the_store_speaks_sql_to_the_database() -> None:
    wrong = []
    for path in MODULES:
        part = part_of(name_of(path))
        for line, text, tables in own_sql(path):
            snapshot = part == "sources" and tables <= SNAPSHOT_ONLY
            reads = path in READS_ONLY and text.startswith("SELECT ")
            if part != "store" and not snapshot and not reads:
                wrong.append(f"{path.relative_to(TOP)}:{line}: {text[:60]!r}")
    assert wrong == []


def test_the_search_for_sql_finds_some() -> None:
    found = {path.name for path in MODULES if any(own_sql(path))}
    assert {"jobs.py", "discovery.py", "queries.py", "audit.py", "duties.py", "configurations.py"} <= found


@pytest.mark.parametrize("path", [*MODULES, *TESTS], ids=lambda path: str(path.relative_to(TOP)))
def test_nothing_grows_without_end(path: Path) -> None:
    """Modules of at most 300 lines (a test file holds a table more easily), functions of at most 50."""
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= (300 if path in MODULES else 400)
    for node in ast.walk(ast.parse(text, str(path))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= 50, f"{node.name} in line {node.lineno} has {length} lines"


UNDONE = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
NAMELESS = {"utils", "util", "helpers", "helper", "manager", "base", "common", "misc"}


def test_nothing_is_left_for_later() -> None:
    kinds = {".py", ".sql", ".toml", ".sh", ".md", ".service"}
    files = [TOP / name for name in tracked() if Path(name).suffix in kinds and (TOP / name).exists()]
    assert len(files) > 50
    wrong = [
        f"{path.relative_to(TOP)}:{number}: {line.strip()[:60]}"
        for path in files
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if UNDONE.search(line)
    ]
    assert wrong == []


def test_modules_are_named_after_what_they_hold() -> None:
    wrong = [
        str(path.relative_to(TOP)) for path in MODULES if set(path.relative_to(CAF).with_suffix("").parts) & NAMELESS
    ]
    assert wrong == []


LOGGED = {"debug", "info", "warning", "error", "exception", "critical"}


def logged() -> Iterator[tuple[str, str | None]]:
    """Give place and event of each call of a logger; None where the event is not written out there."""
    for path in MODULES:
        for node in nodes(path):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LOGGED:
                owner = node.func.value
                if (owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")) in {"log", "logger"}:
                    first = node.args[0]
                    event = first.value if isinstance(first, ast.Constant) else None
                    yield f"{path.relative_to(TOP)}:{node.lineno}", event if isinstance(event, str) else None


def test_every_event_that_is_logged_is_listed() -> None:
    found = list(logged())
    assert len(found) > 15
    assert [(place, event) for place, event in found if event is not None and event not in EVENTS] == []


def test_every_listed_event_is_logged_somewhere() -> None:
    """Written out at the call, or in a table that the call looks it up in."""
    written = {event for _, event in logged()}
    for path in MODULES:
        if path != CAF / "log.py":
            written |= {text for _, text in texts(path) if text in EVENTS}
    assert sorted(EVENTS.keys() - written) == []


ALLOWED_AT_THE_TOP = {"pyproject.toml", "README.md", "caf", "tests", "listeners.toml", "deploy", "docs"}


@cache
def tracked() -> tuple[str, ...]:
    """Give the repository's files, as git lists them."""
    if not (TOP / ".git").exists():
        pytest.skip("not a git checkout")
    command = ["git", "-C", str(TOP), "ls-files", "-z"]
    return tuple(
        subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.split("\0")[:-1]
    )


def test_the_top_level_holds_what_was_agreed_on() -> None:
    top = {name.partition("/")[0] for name in tracked()}
    assert {name for name in top if not name.startswith(".")} <= ALLOWED_AT_THE_TOP


def test_no_file_names_a_machines_path() -> None:
    """A fresh clone elsewhere has none of them."""
    place = re.compile(r"(?<![\w.>}])/(root|work|Users)/\w")
    wrong = [
        f"{name}:{number}"
        for name in tracked()
        if Path(name).suffix in {".py", ".toml", ".sql", ".sh", ".md"} and (TOP / name).exists()
        for number, line in enumerate((TOP / name).read_text(encoding="utf-8").splitlines(), 1)
        if place.search(line)
    ]
    assert wrong == []
