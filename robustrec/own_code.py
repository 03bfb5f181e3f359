"""Import of user-defined code, named as "package.module:Name"."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType

_LOCK = threading.RLock()
_commands: list[list[str]] = []
"""One for each `folders_stay` block: the folders to remove from `sys.path` at its end."""


def import_own(module: str) -> ModuleType:
    """Import a module; the working folder is searched too, last of all, and `sys.path` is then as before.

    An installed command does not search the folder it is started in, and that is where user-defined code is. At the
    end of the path, nothing in it hides an installed package.
    """
    folder = str(Path.cwd())
    with _LOCK:
        if folder in sys.path:
            return import_module(module)
        sys.path.append(folder)
        try:
            return import_module(module)
        finally:
            if _commands:
                _commands[-1].append(folder)
            elif folder in sys.path:
                sys.path.remove(folder)


@contextmanager
def folders_stay() -> Iterator[None]:
    """Leave the folders of `import_own` on `sys.path` until the block ends, for what the code imports while it runs.

    This is for the command line, whose process is ours.
    """
    _commands.append([])
    try:
        yield
    finally:
        for folder in _commands.pop():
            if folder in sys.path:
                sys.path.remove(folder)
