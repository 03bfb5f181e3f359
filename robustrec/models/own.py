"""User-defined recommenders, named as "package.module:Name"; importable without torch."""

from __future__ import annotations

import ast
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from robustrec.errors import RobustrecError, described
from robustrec.files import digest_bytes
from robustrec.own_code import import_own

# What a recommender's class must have; `Config` and `modalities` are looked at more closely.
PARTS = ("represent", "loss", "module", "modalities", "Config")
# Installed packages are taken as they are: what they import is not followed.
INSTALLED = ("site-packages", "dist-packages")


class Own(NamedTuple):
    """What a name leads to.

    Attributes:
        kind: the class or function.
        code: digest of the Python sources that decide what it does, as they were when it was imported.
    """

    kind: Any
    code: str


def is_own(name: str) -> bool:
    """Tell whether a model's name is a place to import from."""
    return ":" in name


@cache
def load_own(name: str) -> Own:
    """Import what "package.module:Name" names, once; the working folder is searched too, last of all.

    It is a class with `represent` and `loss` (a recommender), or a scorer: a class with `score`, or with `item_vectors`
    and `user_vectors`, or a function.

    Raises:
        RobustrecError: it cannot be imported, or is none of these.
    """
    module_name, _, attribute = name.partition(":")
    if not attribute.isidentifier() or not all(part.isidentifier() for part in module_name.split(".")):
        raise RobustrecError(
            f"{name!r} is not MODULE:NAME", where=f"--model {name}", fix="for example: --model my_shop.models:MyModel"
        )
    with attributed_to(name, f"import of {module_name}"):
        try:
            module = import_own(module_name)
        except ModuleNotFoundError as error:
            if not f"{module_name}.".startswith(f"{error.name}."):
                raise  # something that it imports
            raise RobustrecError(
                f"module {error.name!r} not found",
                where=f"--model {name}",
                fix="run robustrec in the folder with the module, or install it",
            ) from error
    if not hasattr(module, attribute):
        raise _wrong(name, f"module {module_name!r} has no {attribute!r}")
    found = getattr(module, attribute)
    fault = _fault(found)
    if fault:
        raise _wrong(name, f"{attribute!r} {fault}")
    # A class or function may have been imported there from elsewhere: that module's sources count too.
    home = found.__module__ if inspect.isclass(found) or inspect.isfunction(found) else module_name
    # Adapters are not part of what `robustrec.runs.formats` numbers.
    bases = [each.__module__ for each in getattr(found, "__mro__", ())]
    adapters = {each for each in bases if each.startswith("robustrec.adapters.")}
    return Own(found, code_digest({module_name, home, *adapters}))


def is_scorer(kind: Callable[..., Any]) -> bool:
    """Return whether a user-defined model only scores.

    It is a function, or a class with `score`, or `item_vectors` and `user_vectors`, and no `represent`.
    """
    scores = hasattr(kind, "score") or has_vectors(kind)
    return not inspect.isclass(kind) or (scores and not hasattr(kind, "represent"))


def has_vectors(kind: Any) -> bool:
    """Return whether a class gives item vectors and user vectors."""
    return callable(getattr(kind, "item_vectors", None)) and callable(getattr(kind, "user_vectors", None))


@contextmanager
def attributed_to(name: str, what: str) -> Iterator[None]:
    """Turn what a user-defined model raises inside the block into an error that names the model.

    Raises:
        RobustrecError: it raised something, or wanted to end the process, whatever the exit code.
    """
    try:
        yield
    except RobustrecError:
        raise
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever ends the process, or only a task, must not look like a breached gate
        if not is_own(name):
            raise
        raise RobustrecError(
            f"{described(error)}{source_line(name, error)}", where=f"--model {name}, {what}", fix=_advice(name)
        ) from error


def source_line(name: str, error: BaseException) -> str:
    """Return the innermost line of somebody's own sources that was under way, in brackets; empty where none was."""
    package = name.partition(":")[0].partition(".")[0]
    named = [folder / package for folder in _folders(package)]
    strange = (Path(__file__).parents[1], Path(inspect.__file__).parent)
    place = ""
    for frame in traceback.extract_tb(error.__traceback__):
        path = Path(frame.filename)
        own = any(path.with_suffix("") == each or path.is_relative_to(each) for each in named)
        installed = {*INSTALLED} & {*path.parts} or any(path.is_relative_to(each) for each in strange)
        if own or (path.is_absolute() and not installed):
            place = f" ({path}, line {frame.lineno})"
    return place


def own_sources(modules: set[str]) -> list[tuple[Path, Path]]:
    """Return the Python files that decide what imported modules do, as (folder of the import, file), sorted.

    They are all files of a module's top-level package, or its one file, and so on for what these import from the same
    folder. Installed packages that they import are not followed.
    """
    pending = [(name.partition(".")[0], folder) for name in modules for folder in _folders(name.partition(".")[0])]
    files_of = {name: Path(getattr(sys.modules.get(name), "__file__", None) or "x.py") for name in modules}
    alone = {name for name, file in files_of.items() if file.suffix != ".py" or name.startswith("robustrec.adapters.")}
    found = {(files_of[name].parent, files_of[name]) for name in alone}  # compiled, or of robustrec
    followed = set()
    while pending:
        package, folder = pending.pop()
        if (package, folder) in followed or package == "robustrec":
            continue
        followed.add((package, folder))
        files = _files(package, folder)
        found |= {(folder, file) for file in files}
        if folder.name not in INSTALLED:
            pending += [(name, folder) for file in files for name in _imports(file)]
    return sorted(found)


def code_digest(modules: set[str]) -> str:
    """Return the digest of the Python files that decide what imported modules do; see `own_sources`."""
    sources = own_sources(modules)
    named = sorted((file.relative_to(folder).as_posix().encode(), file.read_bytes()) for folder, file in sources)
    return digest_bytes(part for pair in named for part in pair)


def _fault(found: Any) -> str:
    """Say what keeps an object from being a recommender or a scorer; empty where nothing does."""
    from pydantic import BaseModel
    from torch import nn

    from robustrec.modalities import ANY_MODALITY, MODALITIES, modality_fault

    named, config = getattr(found, "modalities", ()), getattr(found, "Config", None)
    listed = isinstance(named, list | tuple) and all(isinstance(each, str) for each in named)
    wrong = (
        [each for each in named if each != ANY_MODALITY and modality_fault(each, (*MODALITIES, *named))]
        if listed
        else []
    )
    fault = ""
    if not inspect.isclass(found):
        if hasattr(found, "represent") or not callable(found):
            fault = f"is a {type(found).__name__}; expected a class or a function"
    elif hasattr(found, "represent"):
        lacking = [part for part in PARTS if not hasattr(found, part)]
        if lacking:
            fault = f"has no {', '.join(lacking)}"
        elif not issubclass(found, nn.Module):
            fault = "is not a torch.nn.Module"
        elif not (inspect.isclass(config) and issubclass(config, BaseModel)):
            fault = "has a Config that is not a pydantic.BaseModel class"
    elif not has_vectors(found) and not callable(getattr(found, "score", None)):
        fault = "has neither represent and loss (a recommender) nor score, or item_vectors and user_vectors (a scorer)"
        if issubclass(found, nn.Module):
            fault += "; for a module of PyTorch Geometric see docs/pyg.md"
    if not fault and (not listed or wrong):
        fault = f"has modalities = {named!r}; expected a tuple of names, such as ('image', 'text'), or ('*',) for any"
        if wrong:
            fault += f"; {wrong[0]!r} {modality_fault(wrong[0], (*MODALITIES, *named))}"
    return fault


def _folders(package: str) -> list[Path]:
    """Return the folders that a top-level module or package was imported from."""
    module = sys.modules.get(package)
    places = list(getattr(module, "__path__", [])) or [getattr(module, "__file__", None)]
    return [Path(place).resolve().parent for place in places if place]


def _files(package: str, folder: Path) -> list[Path]:
    inside, alone = folder / package, folder / f"{package}.py"
    if alone.is_file() and not (inside / "__init__.py").is_file():
        return [alone]
    return sorted(inside.rglob("*.py")) if inside.is_dir() else []


def _imports(file: Path) -> set[str]:
    """Return the top-level names that a source file imports, wherever in it."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return set()
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level == 0}
    return {name.partition(".")[0] for name in names}


def _advice(name: str) -> str:
    return f"see docs/own-models.md, and check it with: robustrec doctor --model {name}"


def _wrong(name: str, what: str) -> RobustrecError:
    return RobustrecError(what, where=f"--model {name}", fix=_advice(name))
