"""Gates in one line: `--gate 'ndcg@20>-2%'`.

The grammar, in which spaces between the parts do not matter:

    gate      = [ audit [ keys ] ":" ] metric bound [ "," bound ] [ "vs" reference ]
    keys      = "(" key "=" value { "," key "=" value } ")"
    bound     = ( ">" | ">=" | "<" | "<=" ) limit
    limit     = [ "+" | "-" ] number [ "%" ]

A limit with a sign is one of a change, in % of the number before (`relative_drift`) or in its unit (`drift`); a limit
without a sign is one of a value. The limit itself is allowed, so ">" and ">=" are the same.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Literal, get_args, get_origin

from pydantic import ValidationError

from robustrec.audits.gate_parts import EXAMPLE, OPTION, Bound, Form, pasted
from robustrec.audits.gate_typos import likely_gates, redirected_to
from robustrec.audits.registry import KINDS as AUDITS
from robustrec.audits.registry import PLUGINS
from robustrec.audits.suites import Suite
from robustrec.errors import RobustrecError, unknown_name
from robustrec.evaluation.kinds import KINDS, QUALITY, STABILITY
from robustrec.invalid import reason_of
from robustrec.results.findings import BASELINE, CLEAN, CONTENT_USE
from robustrec.results.gates import Gate
from robustrec.results.possible_limits import better_value, passed_without_content
from robustrec.results.selection import ANY, Select
from robustrec.untrusted import UnreadableError, parse_json

_KEYS = tuple(name for name in Select.model_fields if name not in ("audit", "metric", "condition", "reference"))
_OF_AUDITS = (
    "exposure",
    "value_exposure",
    "losing",
    "loss_bound",
    "places_kept",
    "places_certified",
    "without_place",
    "certified_radius",
)
"""Metrics of lists that audits have besides those of `KINDS`."""

_SPACE = re.compile(r"\s*")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_AUDIT = re.compile(r'[^\s()<>=,"]+(?=\s*[(])|[^\s()<>=,"]+(?=\s*:)')
_NAME = re.compile(r"[^\s()<>=,\"]+")
_METRIC = re.compile(r"[^\s()<>=,:\"]+")
_KEY = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_VALUE = re.compile(r'"(?:[^"\\]|\\.)*"|[^,()<>"=]+')
_BOUND = re.compile(r"[<>]=?")
_LIMIT = re.compile(r"([-+]?)((?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?)\s*(%?)", re.ASCII)
_VS = re.compile(r"vs(?=\s)")


class _Reader:
    """A text and the place up to which it is read."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0
        self.skip()

    def skip(self) -> None:
        self.at = _SPACE.match(self.text, self.at).end()  # type: ignore[union-attr]

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self.text, self.at)
        if found:
            self.at = found.end()
            self.skip()
        return found

    def takes(self, sign: str) -> bool:
        return self.take(re.compile(re.escape(sign))) is not None

    def where(self, at: int | None = None) -> str:
        return f"{OPTION}, character {(self.at if at is None else at) + 1} of {self.text!r}"

    def error(self, what: str, fix: str, at: int | None = None) -> RobustrecError:
        return RobustrecError(what, where=self.where(at), fix=fix)

    def rest(self) -> str:
        return self.text[self.at : self.at + 20] or "the end of the gate"


def parse_gate(text: str) -> Gate:
    """Return the gate that a line means; an error names what a mistyped line most likely means.

    Args:
        text: for example "merchant(edit=promo_badge, severity=3): exposure@20_edited > -50%".

    Raises:
        RobustrecError: it is not of the grammar, names something unknown, or can never fail or pass.
    """
    try:
        return _parsed(text)
    except RobustrecError as error:
        likely = next((other for other in likely_gates(text) if _is_gate(other)), None)
        if likely is None:
            raise
        raise RobustrecError(error.what, where=error.where, fix=f"did you mean this: {pasted(likely)}") from error


def _is_gate(text: str) -> bool:
    try:
        _parsed(text)
    except RobustrecError:
        return False
    return True


def _parsed(text: str) -> Gate:
    reader = _Reader(text)
    audit, head, keys = _audit(reader)
    metric_at = reader.at
    metric = _metric(reader, audit)
    bounds = _bounds(reader, metric)
    reference = _reference(reader)
    if reader.at < len(text):
        fix = f"end the gate here: {pasted(text[: reader.at].rstrip())}"
        if re.search("[<>]", text[reader.at :]):
            fix += f", and write another {OPTION} for the rest"
        raise reader.error(f"unexpected {reader.rest()!r}", fix)
    name = f"{head}{metric}{','.join(each.written for each in bounds)}{f' vs {reference}' if reference else ''}"
    form = Form(head, audit, metric, reference)
    _check_change(reader, bounds, form)
    if problem := passed_without_content(audit, metric, reference, [each.side for each in bounds]):
        fix = f"limit what content is worth: {pasted('content_use:content_use>=10%')}"
        raise reader.error(problem, fix, metric_at)
    limits = {each.side: _limit(each, form) for each in bounds}
    relative = bounds[0].signed and bounds[0].percent
    quantity = "relative_drift" if relative else "drift" if bounds[0].signed or form.stable else "value"
    try:
        select = Select(audit=audit, metric=metric, **keys)
        return Gate(name=name, select=select, quantity=quantity, against=reference, **limits)
    except ValidationError as error:
        message = reason_of(error.errors()[0])
        fix = "change the limit or what it is of; the form: robustrec docs gates"
        raise reader.error(message, fix, metric_at) from error


def with_gates(suite: Suite, texts: Iterable[str]) -> Suite:
    """Return a suite with further gates, each a line.

    Raises:
        RobustrecError: a line is not a gate, names that of another gate, or asks for what the suite does not measure.
    """
    for text in texts:
        gate = parse_gate(text)
        try:
            suite = Suite.model_validate({**dict(suite), "gates": (*suite.gates, gate)})
        except ValidationError as error:
            message, _, advice = reason_of(error.errors()[0]).partition("; ")
            fix = advice or "remove one of them"
            raise RobustrecError(
                f"{message} (suite {suite.name!r})", where=f"{OPTION} {shlex.quote(text)}", fix=fix
            ) from error
    return suite


def _audit(reader: _Reader) -> tuple[str, str, dict[str, Any]]:
    """Read the audit with its keys; return it, as written, and the keys."""
    start = reader.at
    before = re.split("[<>]", _QUOTED.sub("", reader.text), maxsplit=1)[0]
    if not re.search("[:(]", before):
        return ANY, "", {}
    found = reader.take(_AUDIT)
    if found is None:
        fix = f"for example {pasted('noise:ndcg@20>-2%')}"
        raise reader.error(f"expected an audit, but got {reader.rest()!r}", fix)
    name = found[0]
    known = (CLEAN, CONTENT_USE, *AUDITS, *PLUGINS.points())
    if name not in known and not re.search(r"[:*?]", name):
        raise unknown_name("audit", name, known, where=reader.where(start))
    keys = _keys(reader) if reader.takes("(") else {}
    if not reader.takes(":"):
        fix = f"write {name}: before the metric"
        raise reader.error(f"expected ':' after the audit, but got {reader.rest()!r}", fix)
    shown = ",".join(f"{key}={_shown(value)}" for key, value in keys.items())
    return name, f"{name}{f'({shown})' if keys else ''}:", keys


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return json.dumps(value)
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if re.fullmatch(r"[^\s,()<>\"=]+", text) else json.dumps(text, ensure_ascii=False)


def _keys(reader: _Reader) -> dict[str, Any]:
    keys: dict[str, Any] = {}
    while True:
        start, found = reader.at, reader.take(_KEY)
        if found is None:
            raise reader.error(f"expected a key, but got {reader.rest()!r}", f"keys: {', '.join(_KEYS)}")
        key = found[0]
        if key not in _KEYS:
            raise unknown_name("key", key, _KEYS, where=reader.where(start))
        if key in keys:
            raise reader.error(f"duplicate key {key!r}", "remove one of them", start)
        if not reader.takes("="):
            raise reader.error(f"expected '=' after {key}, but got {reader.rest()!r}", f"write {key}=VALUE")
        place, value = reader.at, reader.take(_VALUE)
        if value is None or not value[0].strip():
            raise reader.error(f"expected a value of {key}, but got {reader.rest()!r}", f'write {key}="VALUE"')
        keys[key] = _value(reader, key, value[0].strip(), place)
        if reader.takes(")"):
            return keys
        if not reader.takes(","):
            raise reader.error(f"expected ',' or ')', but got {reader.rest()!r}", "close the keys with ')'")


def _value(reader: _Reader, key: str, written: str, at: int) -> Any:
    """Return the value of a key: text, number or truth value, as the key takes it."""
    annotation = Select.model_fields[key].annotation
    kinds = (annotation, *get_args(annotation))
    try:
        value: Any = parse_json(written) if written.startswith('"') else written
    except UnreadableError as error:
        fix = 'write \\" for a quote and \\\\ for a backslash'
        raise reader.error(f"{key}={written} is not a quoted text: {error}", fix, at) from error
    if not any(kind is str or get_origin(kind) is Literal for kind in kinds):
        if re.fullmatch(r"true|false", written):
            value = written == "true"
        elif re.fullmatch(r"\d+", written, re.ASCII):
            value = int(written)
        elif (number := _LIMIT.fullmatch(written)) and not number[3]:
            value = float(written)
    # Keys that need another are tested with it.
    besides = {"segment_by": "category"} if key == "segment" else {}
    try:
        Select.model_validate({"metric": "ndcg@20", **besides, key: value}, strict=True)
    except ValidationError as error:
        what = f"{key}={written}: {reason_of(error.errors()[0])}"
        fix = f"correct the value: {Select.model_fields[key].description}"
        raise reader.error(what, fix, at) from error
    return value


def _metric(reader: _Reader, audit: str) -> str:
    start, found = reader.at, reader.take(_METRIC)
    if found is None:
        raise reader.error(f"expected a metric, but got {reader.rest()!r}", f"for example {EXAMPLE}")
    metric = found[0]
    kind, at, depth = metric.partition("@")
    known = (*KINDS, *_OF_AUDITS)
    if re.search(r"[*?]", metric) or ":" in audit or audit in PLUGINS.points():
        return metric
    if at and kind not in known:
        raise unknown_name("metric", kind, known, where=reader.where(start))
    if at and not re.match(r"[1-9]\d{0,6}(?:_|$)", depth, re.ASCII):
        fix = f"write for example {kind}@20"
        raise reader.error(f"metric {metric!r} has no list length", fix, start + len(kind) + 1)
    if not at and (short := re.fullmatch(rf"({'|'.join(known)})(\d+)(_.*)?", metric)):
        fix = f"write {short[1]}@{short[2]}{short[3] or ''}"
        raise reader.error(f"metric {metric!r} has no @ before its list length", fix, start)
    if not at and kind in known:
        raise reader.error(f"metric {metric!r} has no list length", f"write for example {kind}@20", start + len(kind))
    return metric


def _bounds(reader: _Reader, metric: str) -> list[Bound]:
    bounds: list[Bound] = []
    while True:
        at, sign = reader.at, reader.take(_BOUND)
        if sign is None:
            what = f"expected > or < after {'the comma' if bounds else metric}, but got {reader.rest()!r}"
            if bounds and re.search("[<>]", reader.text[reader.at :]):
                raise reader.error(what, f"write a {OPTION} for each metric: {EXAMPLE} {OPTION} 'recall@20>-2%'")
            fix = f"quote the gate, so that the shell does not read > and <: {EXAMPLE}"
            if reader.at >= len(reader.text) and (made := redirected_to()):
                fix += f"; the shell has made the file {made}: rm ./{shlex.quote(str(made))}"
            raise reader.error(what, fix)
        place, limit = reader.at, reader.take(_LIMIT)
        if limit is None:
            what = f"expected a limit such as -2% or 0.9, but got {reader.rest()!r}"
            raise reader.error(what, f"for example {EXAMPLE}")
        written = f"{limit[1]}{limit[2]}{limit[3]}"
        bounds.append(Bound(sign[0], written, bool(limit[1]), bool(limit[3]), Decimal(limit[1] + limit[2]), place))
        if len({each.side for each in bounds}) < len(bounds):
            which = "lower" if bounds[0].side == "min" else "upper"
            raise reader.error(f"two {which} bounds", "remove one of them", at)
        if not reader.takes(","):
            return bounds


def _reference(reader: _Reader) -> str | None:
    if not reader.take(_VS):
        return None
    found = reader.take(_NAME)
    if found is None:
        raise reader.error("expected a reference after vs", f"write vs {BASELINE}, or vs a strategy such as vs vanilla")
    return found[0]


def _limit(bound: Bound, form: Form) -> float:
    """Return the limit as a gate has it: in % a share, and of a stability metric the change from equal lists."""
    number = bound.number / 100 if bound.percent else bound.number
    return float(number - Decimal(STABILITY[form.kind].equal) if form.stable else number) or 0.0  # never -0


def _check_change(reader: _Reader, bounds: list[Bound], form: Form) -> None:
    """Refuse limits of the wrong kind or direction, with the right form."""
    first = bounds[0]
    better = KINDS[form.kind].better if form.kind in KINDS else better_value(form.metric)
    for each in bounds:
        if form.stable:
            _check_stability(reader, each, form)
            continue
        if (each.signed, each.percent) != (first.signed, first.percent):
            fix = f"write both alike, for example {form.with_limit('>-2%,<+2%')}"
            raise reader.error("the two bounds are of different quantities", fix, each.at)
        if form.of_clean and each.signed:
            fix = f"compare it with a reference: {form.with_limit(each.written, BASELINE)}"
            raise reader.error("clean quality has no change without a reference", fix, each.at)
        if not each.signed and not form.of_clean and (form.reference or form.kind in QUALITY):
            fix = f"write a change with a sign, {form.with_limit('>-2%')}"
            fix += "" if form.reference else f", or a limit of clean quality, {pasted(f'clean:{form.metric}>=0.05')}"
            raise reader.error(f"the limit {each.limit} has no sign, so it is not one of a change", fix, each.at)
        down = each.number if each.side == "min" else -each.number
        if each.signed and form.reference is None and down > 0:
            right = each.opposite if each.side == "max" and better == 1 else each.turned
            fix = f"write {form.with_limit(right)}"
            raise reader.error(
                f"{form.metric}{each.written} asks for a change: an unchanged ranking would fail", fix, each.at
            )
        if each.signed and len(bounds) == 1 and down <= 0 and each.side == ("max" if better == 1 else "min") and better:
            what = f"{form.metric}{each.written} allows every loss; {'more' if better == 1 else 'less'} is better"
            both = ",".join(sorted({each.written, each.turned_over()}, reverse=True))
            fix = f"write {form.with_limit(each.turned_over())}, or limit both sides: {form.with_limit(both)}"
            raise reader.error(what, fix, each.at)
        if (
            len(bounds) == 1
            and better is not None
            and (form.of_clean or not each.signed or (form.reference and down > 0))
        ):
            good, why = ("min", "more is better") if better == 1 else ("max", "less is better")
            if each.side != good:
                what = f"{form.metric}{each.written} has the wrong direction: {why}"
                raise reader.error(what, f"write {form.with_limit(each.opposite)}", each.at)


def _check_stability(reader: _Reader, bound: Bound, form: Form) -> None:
    equal = STABILITY[form.kind].equal
    sign, usual = (">=", "0.9") if equal else ("<=", "0.1")
    if bound.signed:
        what = f"{form.metric} is {equal:g} for equal lists, so its limit is a value without a sign"
        raise reader.error(what, f"write {form.with_limit(sign + usual)}", bound.at)
    if bound.side != ("min" if equal else "max"):
        what = f"{form.metric}{bound.written} asks for a change: an unchanged ranking would fail"
        raise reader.error(what, f"write {form.with_limit(sign + bound.limit)}", bound.at)
