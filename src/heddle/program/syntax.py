"""Warn, at registration, about lines of a workflow that would differ on replay or reach the outside.

Names are resolved through the function's own globals, so an alias does not hide them. A warning, not a refusal: a
syntax tree cannot know what runs. Only the workflow's own body is read. Neighbours: ``declare`` asks; the stub loop
refuses at run time what is refused.
"""

import ast
import collections.abc
import dataclasses
import inspect
import textwrap
import types
import warnings
from typing import Any

from heddle.program.errors import WorkflowWarning

_CLOCK = ("reads the clock", "await heddle.now()")
_CHANCE = ("draws chance", "heddle.random()")
_FILES = ("reaches files", "a function decorated with @heddle.step")
_OUTSIDE = ("reaches the outside", "a function decorated with @heddle.step, or heddle.model")
_THREADS = ("starts a thread or process", "a function decorated with @heddle.step")
_DATABASE = ("reaches the database", "a function decorated with @heddle.step")
_LOOP = ("uses an event loop, which will be refused", "calls without await, heddle.all_of and heddle.sleep")

# Longest prefix first where one is inside of another.
_PREFIXES: tuple[tuple[str, tuple[str, str]], ...] = (
    ("time.sleep", ("blocks the activation", "await heddle.sleep(seconds)")),
    ("time.strftime", _CLOCK),
    ("time.time", _CLOCK),
    ("time.monotonic", _CLOCK),
    ("time.perf_counter", _CLOCK),
    ("time.localtime", _CLOCK),
    ("time.gmtime", _CLOCK),
    ("datetime.datetime.now", _CLOCK),
    ("datetime.datetime.utcnow", _CLOCK),
    ("datetime.datetime.today", _CLOCK),
    ("datetime.date.today", _CLOCK),
    ("django.utils.timezone.now", _CLOCK),
    ("django.utils.timezone.localtime", _CLOCK),
    ("random", _CHANCE),
    ("secrets", _CHANCE),
    ("numpy.random", _CHANCE),
    ("os.urandom", _CHANCE),
    ("uuid.uuid1", _CHANCE),
    ("uuid.uuid4", _CHANCE),
    ("uuid.uuid7", _CHANCE),
    ("builtins.open", _FILES),
    ("io.open", _FILES),
    ("_io.open", _FILES),
    ("shutil", _FILES),
    ("tempfile", _FILES),
    ("pathlib.Path.read_", _FILES),
    ("pathlib.Path.write_", _FILES),
    ("pathlib.Path.open", _FILES),
    ("os.environ", ("reads the environment, which may differ elsewhere", "an argument of the workflow")),
    ("os.getenv", ("reads the environment, which may differ elsewhere", "an argument of the workflow")),
    ("os.path", _FILES),
    ("os.", _FILES),
    ("subprocess", _OUTSIDE),
    ("socket", _OUTSIDE),
    ("urllib.request", _OUTSIDE),
    ("http.client", _OUTSIDE),
    ("requests", _OUTSIDE),
    ("httpx", _OUTSIDE),
    ("aiohttp", _OUTSIDE),
    ("threading", _THREADS),
    ("multiprocessing", _THREADS),
    ("concurrent.futures", _THREADS),
    ("django.db", _DATABASE),
    ("django.core.cache", _DATABASE),
    ("asyncio", _LOOP),
)
_ORM_METHODS = frozenset({"save", "asave", "refresh_from_db", "arefresh_from_db", "bulk_create", "abulk_create"})
_PURE = ("os.path.join", "os.path.basename", "os.path.dirname", "os.path.splitext", "os.fspath", "random.Random")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Imported:
    name: str


def warn(function: collections.abc.Callable[..., Any]) -> None:
    """Warn once for each line of a workflow that reads clock, chance, files, the outside or the database."""
    try:
        lines, first_line = inspect.getsourcelines(function)
        tree = ast.parse(textwrap.dedent("".join(lines)))
    except (OSError, SyntaxError, TypeError):
        # Typed at a prompt or made by a tool: there is no text to read, and nothing to warn about.
        return
    assert isinstance(function, types.FunctionType), "signatures let nothing else through"
    names = {**function.__globals__, **_imported(tree)}
    seen: set[tuple[int, str]] = set()
    for node in sorted(ast.walk(tree), key=lambda node: getattr(node, "lineno", 0)):
        found = _found(node, names)
        if found is None:
            continue
        name, (does, instead) = found
        line = first_line + getattr(node, "lineno", 1) - 1
        if (line, does) in seen:
            continue
        seen.add((line, does))
        warnings.warn_explicit(
            f"the workflow {function.__qualname__} {does} ({name}, line {line}); in a workflow use {instead}",
            category=WorkflowWarning,
            filename=function.__code__.co_filename,
            lineno=line,
            module=function.__module__,
        )


def _found(node: ast.AST, names: dict[str, object]) -> tuple[str, tuple[str, str]] | None:
    if isinstance(node, ast.Call):
        written = _dotted(node.func)
        if written is None:
            return None
        if ".objects." in written or ("." in written and written.rpartition(".")[2] in _ORM_METHODS):
            return written, _DATABASE
        return _matching(written, names)
    if isinstance(node, ast.Subscript):
        written = _dotted(node.value)
        return _matching(written, names) if written is not None and "." in written else None
    return None


def _imported(tree: ast.AST) -> dict[str, _Imported]:
    """Give the names that imports inside of the function bind."""
    names: dict[str, _Imported] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                bound = alias.asname or alias.name.partition(".")[0]
                names[bound] = _Imported(name=alias.name if alias.asname else bound)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            for alias in node.names:
                names[alias.asname or alias.name] = _Imported(name=f"{node.module}.{alias.name}")
    return names


def _matching(written: str, names: dict[str, object]) -> tuple[str, tuple[str, str]] | None:
    resolved = _resolved(written, names)
    if resolved.startswith(_PURE):
        return None
    for prefix, advice in _PREFIXES:
        if resolved == prefix or resolved.startswith(prefix if prefix.endswith((".", "_")) else f"{prefix}."):
            return written, advice
    return None


def _dotted(node: ast.AST) -> str | None:
    parts: list[str] = []
    while True:
        if isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        elif isinstance(node, ast.Call):
            node = node.func
        elif isinstance(node, ast.Name):
            return ".".join([node.id, *reversed(parts)])
        else:
            return None


def _resolved(written: str, names: dict[str, object]) -> str:
    """Give the full name of what is written: ``dt.now`` as ``datetime.datetime.now``; local names stay their own."""
    first, _, rest = written.partition(".")
    held = names.get(first)
    if isinstance(held, types.ModuleType):
        origin = held.__name__
    elif isinstance(held, _Imported):
        origin = held.name
    elif isinstance(held, types.MethodType | types.BuiltinMethodType):
        # The functions of the random module are methods of a hidden object: by their module they are found.
        origin = f"{held.__module__ or type(held.__self__).__module__}.{held.__name__}"
    elif isinstance(held, type | types.FunctionType):
        origin = f"{held.__module__}.{held.__qualname__}"
    elif first == "open" and first not in names:
        origin = "builtins.open"
    else:
        return f"<local>.{written}"
    # Where a module hides its parts differs between Pythons: pathlib._local.Path is pathlib.Path.
    origin = ".".join(part for index, part in enumerate(origin.split(".")) if index == 0 or not part.startswith("_"))
    return f"{origin}.{rest}" if rest else origin
