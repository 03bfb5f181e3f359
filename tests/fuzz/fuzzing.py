"""Mutations of files, and how many of them are tried: a few in `make test`, as many as are asked for in `make fuzz`."""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from robustrec.cli.main import run

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
FEW = 8
"""Examples of each test in `make test`: the same ones every time."""

TOKENS = [
    *(b"", b"\x00", b"\xff", b"\xef\xbb\xbf", b"\r\n", b"\t", b'"', b"'", b"\\", b"[", b"]", b"{", b"}", b"(", b")"),
    *(b"[[", b"]]", b"#", b",", b":", b"=", b".", b"-", b"-1", b"0", b"1e308", b"-1e308", b"1e999", b"NaN", b"nan"),
    *(b"inf", b"null", b"true", b"99999999999", b"9" * 5000, b"[" * 3000, b"(" * 300, b"../" * 9, b"/dev/null"),
    *(b"\\u0000", b"\\ud800", b"\x1b[2J", "é\u202e".encode(), b"a" * 70000, b"1979-05-27", b"False", b"L"),
]
VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 10**30, 0.5, -0.5, 1e308, -1e308, 5e-324, "", "x", "nan", "\x00"),
    *("é\u202e<script>", "../../x", "/dev/zero", "a" * 5000, [], {}, [[]], {"": 0}, [1, 2, 3], ["x"], {"a": None}),
]


def fuzzed(*strategies: Any) -> Callable[[Any], Any]:
    """Return the decorator of a test over mutations."""

    def decorate(test: Any) -> Any:
        few = settings(
            max_examples=EXAMPLES or FEW,
            derandomize=not EXAMPLES,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        return pytest.mark.fuzz(few(given(*strategies)(test)))

    return decorate


@st.composite
def mutations(draw: Any, contents: list[bytes]) -> bytes:
    """Return one of the contents after a few flips, cuts, repeats and insertions."""
    content = draw(st.sampled_from(contents))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(content), 1) - 1))
        length = draw(st.integers(1, 40))
        match draw(st.sampled_from(["flip", "token", "token", "replace", "cut", "repeat", "truncate", "noise"])):
            case "flip" if content:
                content = content[:at] + bytes([content[at] ^ (1 << draw(st.integers(0, 7)))]) + content[at + 1 :]
            case "token":
                content = content[:at] + draw(st.sampled_from(TOKENS)) + content[at:]
            case "replace":
                content = content[:at] + draw(st.sampled_from(TOKENS)) + content[at + length :]
            case "cut":
                content = content[:at] + content[at + length :]
            case "repeat":
                content = content[: at + length] + content[at:]
            case "truncate":
                content = content[:at]
            case _:
                content = content[:at] + draw(st.binary(max_size=20)) + content[at:]
    return content


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of every value within a JSON value."""
    found = [path] if path else []
    if isinstance(value, dict):
        found += [place for key, each in value.items() for place in places(each, (*path, key))]
    elif isinstance(value, list):
        found += [place for number, each in enumerate(value) for place in places(each, (*path, number))]
    return found


@st.composite
def rewritten(draw: Any, text: str) -> Any:
    """Return a JSON value with some of its values replaced, removed or moved under another key."""
    value = json.loads(text)
    for _ in range(draw(st.integers(1, 3))):
        *way, last = draw(st.sampled_from(places(value)))
        parent = value
        for step in way:
            parent = parent[step]
        match draw(st.sampled_from(["replace", "replace", "replace", "remove", "add"])):
            case "replace":
                parent[last] = draw(st.sampled_from(VALUES) | st.integers(-3, 300) | st.floats(allow_nan=False))
            case "remove":
                del parent[last]
            case _ if isinstance(parent, dict):
                parent[draw(st.text(max_size=5))] = draw(st.sampled_from(VALUES))
            case _:
                parent.insert(last, parent[last])
        if not places(value):
            break
    return value


def told(arguments: list[str]) -> tuple[int, str]:
    """Run a command and return its exit code with what it printed; a traceback is a failure."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(arguments)
    said = err.getvalue()
    assert "Traceback" not in said, said
    assert "internal error" not in said, said
    assert code in (0, 1, 2), code
    assert code != 2 or ("where:" in said and "fix:" in said), (said, out.getvalue())
    return code, out.getvalue()
