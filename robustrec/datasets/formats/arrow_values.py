"""Values of Arrow columns as the texts and Python values that the readers of text files give."""

from __future__ import annotations

import datetime
import importlib
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustrec.errors import RobustrecError
from robustrec.untrusted import UnreadableError, parse_json

EXACT = 2.0**53
"""Whole numbers below it are exact in float64."""
PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def texts_of(array: Any, name: str, classes: Sequence[str] | None, where: str) -> list[str]:
    """Return a column as texts, "" for null; times are seconds since 1970 (UTC).

    Whole floats are written without decimals where they are exact, and float32 with the digits that tell it from its
    neighbours, so that a column has the texts that a text file of the same data has.

    Args:
        array: the column.
        name: its name, for messages.
        classes: names of its values, of a column of class labels.
        where: its place, for messages.

    Raises:
        RobustrecError: the type is neither text nor number nor time.
    """
    pa = importlib.import_module("pyarrow")
    types, kind = pa.types, array.type
    while types.is_dictionary(kind) or isinstance(kind, pa.BaseExtensionType):
        array = array.dictionary_decode() if types.is_dictionary(kind) else array.storage
        kind = array.type
    if types.is_integer(kind) and classes is not None:
        texts = [_class_of(value, classes) for value in array.to_pylist()]
    elif types.is_integer(kind) or types.is_decimal(kind) or types.is_null(kind) or _is_text(types, kind):
        texts = ["" if value is None else value for value in array.cast(pa.large_string()).to_pylist()]
    elif types.is_floating(kind):
        texts = _float_texts(array)
    elif types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
        texts = ["" if value is None else value.decode("utf-8") for value in array.to_pylist()]
    elif types.is_timestamp(kind):
        texts = _times(array.cast(pa.int64()), PER_SECOND[kind.unit])
    elif types.is_date(kind):
        texts = _times(array.cast(pa.timestamp("ms")).cast(pa.int64()), PER_SECOND["ms"])
    else:
        raise RobustrecError(
            f"column {name[:60]} must hold texts, numbers or times, but has the type {str(kind)[:60]}",
            where=where,
            fix="export user, item, rating and time as texts, numbers or timestamps",
        )
    return texts


def _is_text(types: Any, kind: Any) -> bool:
    view = getattr(types, "is_string_view", None)
    return bool(types.is_string(kind) or types.is_large_string(kind) or (view is not None and view(kind)))


def _class_of(value: int | None, classes: Sequence[str]) -> str:
    return "" if value is None else classes[value] if 0 <= value < len(classes) else str(value)


def _float_texts(array: Any) -> list[str]:
    values = array.to_numpy(zero_copy_only=False)
    missing = np.isnan(values)
    with np.errstate(invalid="ignore"):
        whole = np.isfinite(values) & (np.abs(values) < EXACT) & (values == np.floor(values))
    if bool((whole | missing).all()):
        numbers = np.where(missing, 0, values).astype(np.int64).tolist()
        return ["" if gap else str(number) for number, gap in zip(numbers, missing.tolist(), strict=True)]
    # str of a float32 has fewer digits than that of the float64 it would become.
    return ["" if gap else str(value) for value, gap in zip(values, missing.tolist(), strict=True)]


def _times(array: Any, per_second: int) -> list[str]:
    return ["" if value is None else _seconds(value, per_second) for value in array.to_pylist()]


def _seconds(value: int, per_second: int) -> str:
    whole, rest = divmod(value, per_second)
    return str(whole) if not rest else repr(value / per_second)


def unlisted(batch: Any, where: Callable[[int], str]) -> tuple[NDArray[np.int64] | None, list[Any]]:
    """Return the columns of a batch with lists taken apart, and the row of each element; None without lists.

    Args:
        batch: the record batch.
        where: tells the place of a row of the batch, from 0, for messages.

    Raises:
        RobustrecError: the lists of a row have different lengths.
    """
    pa, pc = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.compute")
    arrays = [batch.column(at) for at in range(batch.num_columns)]
    listed = [at for at, array in enumerate(arrays) if _is_list(pa.types, array.type)]
    if not listed:
        return None, arrays
    lengths = [pc.fill_null(pc.list_value_length(arrays[at]), 0).to_numpy() for at in listed]
    for other in lengths[1:]:
        wrong = np.flatnonzero(other != lengths[0])
        if len(wrong):
            row = int(wrong[0])
            raise RobustrecError(
                f"the lists of one row have different lengths: {lengths[0][row]} and {other[row]}",
                where=where(row),
                fix="write lists of one length: one element for each interaction",
            )
    parents = np.repeat(np.arange(batch.num_rows, dtype=np.int64), lengths[0])
    places = pa.array(parents)
    return parents, [pc.list_flatten(array) if at in listed else array.take(places) for at, array in enumerate(arrays)]


def _is_list(types: Any, kind: Any) -> bool:
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def python_value(value: Any, classes: Sequence[str] | None) -> Any:
    """Return a value of a catalog as JSON would have it."""
    if isinstance(value, int) and not isinstance(value, bool) and classes is not None:
        value = _class_of(value, classes)
    elif isinstance(value, float) and value.is_integer() and abs(value) < EXACT:
        value = int(value)
    elif isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    elif isinstance(value, list):
        value = [python_value(each, classes) for each in value]
    elif isinstance(value, dict):
        value = {key: python_value(each, None) for key, each in value.items()}
    elif isinstance(value, Decimal | datetime.date | datetime.time):
        value = str(value)
    return value


def class_names(schema: Any) -> Mapping[str, Sequence[str]]:
    """Return the names of class labels by column, which the library datasets stores in the schema."""
    try:
        info = parse_json((schema.metadata or {}).get(b"huggingface", b"{}").decode("utf-8", "replace"))
    except UnreadableError:
        return {}
    features = info.get("info", {}).get("features", {}) if isinstance(info, dict) else {}
    found: dict[str, Sequence[str]] = {}
    for name, feature in features.items() if isinstance(features, dict) else ():
        names = feature.get("names") if isinstance(feature, dict) else None
        if isinstance(names, list) and all(isinstance(each, str) for each in names):
            found[name] = names
    return found
