"""Reader for numbers in lists, dicts and numpy arrays in a pickle, without unpickling.

A pickle is a program. This reader interprets only the instructions that build lists, tuples, dicts, numbers and numpy
arrays, and accepts only the names that numpy writes for an array. Nothing is imported or called by name. Any other
instruction or name is an error.
"""

from __future__ import annotations

import math
import pickletools
from typing import Any

import numpy as np

from robustrec.untrusted import UnreadableError

Tree = Any
"""Numbers, None, strings and bytes; lists, tuples and dicts with integer keys of these; `Array`."""

MAX_TEXT = 64
MAX_NESTING = 32
_PUSHED = frozenset(["BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8"])
_TEXT = frozenset(["SHORT_BINUNICODE", "BINUNICODE"])
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_TUPLE": tuple}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_NAMES = {
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): "dtype",
    ("_codecs", "encode"): "encode",
    **{
        (module, name): name
        for module in ("numpy.core.multiarray", "numpy._core.multiarray")
        for name in ("_reconstruct", "scalar")
    },
}


class Array:
    """A numpy array in a pickle: an array of numbers, or the content of an object array.

    Attributes:
        value: numbers of any shape; for objects, the object of shape () or the list of shape (n,).
    """

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: Any = None


class _Name(str):
    """One of the names in `_NAMES`, as distinct from a string in the pickle."""

    __slots__ = ()


class _DType:
    """The dtype of an array of numbers, or of objects (None)."""

    def __init__(self, code: str) -> None:
        if code not in ("O", "O8") and (code[:1] not in "iufb" or not code[1:].isdigit()):
            raise UnreadableError(f"an array of dtype {code!r}")
        self.numbers = None if code[0] == "O" else np.dtype(code)

    def build(self, state: Tree) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
        if order not in ("<", ">", "|", "="):
            raise UnreadableError("an unknown dtype")
        if self.numbers is not None and order in "<>":
            self.numbers = self.numbers.newbyteorder(order)


def read_pickled_numbers(content: bytes) -> Tree:
    """Return the content of a pickle of numbers, lists, tuples, dicts and numpy arrays.

    Raises:
        UnreadableError: it is truncated, damaged, or has other content.
    """
    machine = _Machine()
    try:
        for opcode, argument, _ in pickletools.genops(content):
            machine.step(opcode.name, argument)
        return machine.result()
    except UnreadableError:
        raise
    except (ValueError, TypeError, IndexError, KeyError, OverflowError, MemoryError) as error:
        raise UnreadableError(f"damaged: {error}") from error


class _Machine:
    """The stack and the memo of a pickle, with the supported instructions."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        """Execute one instruction."""
        if name in _PUSHED:
            self.stack.append(argument)
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = self.stack[-1]
        elif name in ("BINPUT", "LONG_BINPUT"):
            self.memo[argument] = self.stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[argument])
        elif name in _TEXT:
            self._text(argument)
        elif name == "MARK":
            self._mark()
        elif name in _EMPTY:
            self.stack.append(_EMPTY[name]())
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _TUPLES:
            count = _TUPLES[name]
            self.stack[-count:] = [tuple(self._last(count))]
        elif name not in ("PROTO", "FRAME", "STOP"):
            self._structure(name, argument)

    def result(self) -> Tree:
        """Return the only value on the stack after the last instruction."""
        if self.below or len(self.stack) != 1:
            raise UnreadableError("damaged: it ends before an object is complete")
        return self.stack[0]

    def _structure(self, name: str, argument: Any) -> None:
        if name in ("APPENDS", "SETITEMS", "TUPLE"):
            items, self.stack = self.stack, self.below.pop()
            if name == "TUPLE":
                self.stack.append(tuple(items))
            else:
                self._fill(items, in_dict=name == "SETITEMS")
        elif name in ("APPEND", "SETITEM"):
            items = self._last(1 if name == "APPEND" else 2)
            del self.stack[-len(items) :]
            self._fill(items, in_dict=name == "SETITEM")
        elif name == "GLOBAL":
            self._name(*argument.split(" ", 1))
        elif name == "STACK_GLOBAL":
            module, attribute = self._last(2)
            del self.stack[-2:]
            self._name(module, attribute)
        elif name == "REDUCE":
            function, arguments = self._last(2)
            self.stack[-2:] = [_described(function, arguments)]
        elif name == "BUILD":
            target, state = self._last(2)
            del self.stack[-1]
            _complete(target, state)
        else:
            raise UnreadableError(f"the instruction {name}, which is not supported")

    def _fill(self, items: list[Any], *, in_dict: bool) -> None:
        target = self.stack[-1]
        if in_dict and isinstance(target, dict):
            for key, value in zip(items[::2], items[1::2], strict=True):
                if type(key) is not int:
                    raise UnreadableError(f"a dict with the key {str(key)[:40]!r}, which is not an integer")
                target[key] = value
        elif not in_dict and isinstance(target, list):
            target.extend(items)
        else:
            raise UnreadableError("damaged: items without a list or dict")

    def _name(self, module: Any, attribute: Any) -> None:
        if not isinstance(module, str) or not isinstance(attribute, str) or (module, attribute) not in _NAMES:
            raise UnreadableError(f"the name {module}.{attribute}, which could execute code; it was not imported")
        self.stack.append(_Name(_NAMES[module, attribute]))

    def _text(self, text: str) -> None:
        # Bytes of a scalar are written as text by protocols below 3, so a little more than names.
        if len(text) > MAX_TEXT:
            raise UnreadableError("a long text")
        self.stack.append(text)

    def _mark(self) -> None:
        if len(self.below) >= MAX_NESTING:
            raise UnreadableError("structures nested too deeply")
        self.below.append(self.stack)
        self.stack = []

    def _last(self, count: int) -> list[Any]:
        if len(self.stack) < count:
            raise UnreadableError("damaged: an instruction without its arguments")
        return self.stack[-count:]


def _described(function: Any, arguments: Any) -> Any:
    """Return the value of a name applied to arguments."""
    known = function if isinstance(function, _Name) else ""
    if not isinstance(arguments, tuple):
        raise UnreadableError("damaged: invalid arguments")
    if known == "_reconstruct" and isinstance(arguments[0], _Name) and arguments[0] == "ndarray":
        return Array()
    if known == "dtype" and isinstance(arguments[0], str):
        return _DType(arguments[0])
    if known == "scalar" and isinstance(arguments[0], _DType) and len(arguments) == 2:
        array = _numbers(arguments[0], (), arguments[1])
        return array.item()
    if known == "encode" and len(arguments) == 2 and arguments[1] == "latin1":
        return str(arguments[0]).encode("latin1")
    raise UnreadableError(f"an unexpected use of {known or 'an object'}")


def _complete(target: Any, state: Any) -> None:
    """Set the state of an array or a dtype."""
    if isinstance(target, _DType):
        target.build(state)
        return
    if not isinstance(target, Array) or not isinstance(state, tuple) or len(state) != 5:
        raise UnreadableError("a state for an object that is not an array")
    _, shape, dtype, _, data = state
    if not isinstance(dtype, _DType) or not isinstance(shape, tuple):
        raise UnreadableError("damaged: an array without shape and dtype")
    if dtype.numbers is not None:
        target.value = _numbers(dtype, shape, data)
    elif isinstance(data, list) and shape in ((), (len(data),)) and (shape or len(data) == 1):
        target.value = data if shape else data[0]
    else:
        raise UnreadableError("an object array without a list of objects")


def _numbers(dtype: _DType, shape: tuple[Any, ...], data: Any) -> np.ndarray[Any, Any]:
    if dtype.numbers is None or not isinstance(data, bytes) or len(shape) > 1:
        raise UnreadableError("an array without a list of numbers")
    if any(type(size) is not int or size < 0 for size in shape):
        raise UnreadableError("damaged: an array of invalid shape")
    if len(data) != math.prod(shape) * dtype.numbers.itemsize:
        raise UnreadableError("damaged: the number of bytes of an array does not match its shape")
    return np.frombuffer(data, dtype.numbers).reshape(shape)
