"""Gates, their p-values and the verdict, from the findings of a report, as written in docs/recompute.md."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from scipy import stats

Row = Mapping[str, Any]
_SEVEREST = ("error", "fail", "inconclusive", "pass")
_OF_FINDING = ("audit", "metric", "group", "segment_by", "segment", "strategy", "model", "features", "reference")
_STRATA = ("cold_items", "warm_items", "cold_users")


class Gate(NamedTuple):
    """The result of a gate."""

    name: str
    severity: str
    status: str
    selected: int
    estimate: float | None
    low: float | None
    high: float | None
    p: float | None
    adjusted: float | None


class _Judged(NamedTuple):
    status: str
    margin: float
    numbers: tuple[float | None, float | None, float | None]
    p: float | None


def judge(report: Row) -> list[Gate]:
    """Return the results of all gates of a report, without waivers."""
    content = (report["judgement"] or {}).get("content") or report["suite"]["content"]
    level, correction = content.get("bootstrap", {}).get("level", 0.95), content.get("correction", "holm")
    rows, hidden = [*with_means(report, "findings"), *with_means(report, "segments")], _hidden(report)
    gates = [gate for gate in content["gates"] if gate["name"] in {each["gate"] for each in report["gates"]}]
    judged = [[_judge(gate, row, level, hidden) for row in rows if _selects(gate, row)] for gate in gates]
    adjusted: dict[tuple[int, int], float] = {}
    for severity in ("error", "warn"):
        places = [(g, f) for g, gate in enumerate(gates) if gate["severity"] == severity for f in range(len(judged[g]))]
        tested = [place for place in places if judged[place[0]][place[1]].p is not None]
        values = [judged[g][f].p or 0.0 for g, f in tested]
        adjusted |= dict(zip(tested, _adjusted(values, correction), strict=True))
    return [_result(gate, g, judged[g], adjusted, level) for g, gate in enumerate(gates)]


def verdict(gates: Sequence[Gate], report: Row) -> str:
    """Return the verdict that follows from gates and audits, where nothing is waived."""
    blocking = [gate.status for gate in gates if gate.severity == "error"]
    if "error" in [gate.status for gate in gates] or any(each["status"] == "error" for each in report["statuses"]):
        return "error"
    return "inconclusive" if not blocking else min(blocking, key=_SEVEREST.index)


def with_means(report: Row, part: str) -> list[Row]:
    """Return findings, or segments, with means over seeds in place of those of each training where there are any."""
    means = {_key(row): row for row in report["over_seeds" if part == "findings" else "segments_over_seeds"]}
    found = {}
    for row in report[part]:
        mean = means.get(_key(row))
        found[(*_key(row), None if mean else row["subject"]["seed"])] = mean or row
    return list(found.values())


def _key(row: Row) -> tuple[object, ...]:
    subject = row["subject"]
    own = (subject["model"], subject["strategy"], subject["features"], row["audit"], row["condition"]["label"])
    return (*own, row["metric"], row["quantity"], row["reference"], row["segment_by"], row["segment"])


def _hidden(report: Row) -> set[tuple[object, ...]]:
    """Return the conditions under which the encoder does not see more than 90 % of the edit."""
    return {
        (*row["subject"].values(), row["audit"], row["condition"]["label"])
        for row in report["findings"]
        if row["metric"] == "hidden_share" and row["clean"] is not None and row["clean"] > 0.9
    }


def _selects(gate: Row, row: Row) -> bool:
    select = gate["select"]
    reference = gate["against"] or select.get("reference", "clean")
    if row["reference"] != reference or row["quantity"] != ("value" if gate["quantity"] == "value" else "drift"):
        return False
    if row["audit"] == "content_use" and select.get("audit") != "content_use":
        return False
    if (select.get("segment_by") is None) != (row["segment_by"] is None):
        return False
    group, metric = select.get("group"), select["metric"]
    if group is None and row["group"] in _STRATA:
        return bool(row["metric"] == metric)
    if group is not None and not metric.endswith(f"_{group}"):
        metric = f"{metric}_{group}"
    own = {**row["subject"], **{name: row[name] for name in ("audit", "segment_by", "segment", "group", "metric")}}
    wanted = {name: select[name] for name in _OF_FINDING if select.get(name) is not None} | {"metric": metric}
    wanted.pop("reference", None)
    conditions = {name: value for name, value in select.items() if name not in (*_OF_FINDING, "condition")}
    if select.get("condition", "*") != "*":
        conditions["label"] = select["condition"]
    return all(_fits(own[name], value) for name, value in wanted.items()) and all(
        value is None or _fits(row["condition"].get(name), value) for name, value in conditions.items()
    )


def _fits(value: object, wanted: object) -> bool:
    if isinstance(wanted, str):
        return isinstance(value, str) and fnmatch.fnmatchcase(value, wanted.replace("[", "[[]"))
    return value == wanted


def _judge(gate: Row, row: Row, level: float, hidden: set[tuple[object, ...]]) -> _Judged:
    relative = gate["quantity"] == "relative_drift"
    estimate = row["relative_drift"] if relative else row["clean" if gate["quantity"] == "value" else "drift"]
    low, high = (row["relative_ci_low"], row["relative_ci_high"]) if relative else (row["ci_low"], row["ci_high"])
    floor = -math.inf if gate["min"] is None else gate["min"]
    ceiling = math.inf if gate["max"] is None else gate["max"]
    censored = gate["quantity"] == "value" and estimate is None and (low is None) != (high is None)
    by_interval = gate["bound"] == "interval"
    numbers = estimate, low, high
    if not censored and (estimate is None or (by_interval and None in (low, high))):
        return _Judged("error", -math.inf, numbers, None)
    if "@" in row["metric"] and row["n_users"] == 0:
        return _Judged("error", -math.inf, numbers, None)
    p = None
    if not by_interval and not censored:
        low = high = estimate
    elif row["interval"] == "confidence" and not censored:
        p = _p_value(row, (estimate, low, high), floor, ceiling, level)
    low, high = (-math.inf if low is None else low), (math.inf if high is None else high)
    status = "inconclusive"
    if low >= floor and high <= ceiling:
        status = "pass"
    elif high < floor or low > ceiling:
        status = "fail"
    where = (*row["subject"].values(), row["audit"], row["condition"]["label"])
    if status == "pass" and where in hidden and row["metric"] not in ("hidden_share", "touched"):
        status = "inconclusive"
    return _Judged(status, min(low - floor, ceiling - high), numbers, p)


def _p_value(row: Row, numbers: tuple[float, float, float], floor: float, ceiling: float, level: float) -> float:
    estimate, low, high = numbers
    if row.get("sampled"):
        n, k = row["sampled"], row["counted"]
        if floor <= estimate <= ceiling:
            return 1.0
        return float(stats.binom.sf(k - 1, n, ceiling) if estimate > ceiling else stats.binom.cdf(k, n, floor))
    beyond = max(floor - estimate, estimate - ceiling)
    if beyond <= 0:
        return 1.0
    half = high - estimate if estimate < floor else estimate - low
    if half <= 0:
        return 0.0
    shape = stats.t(row["degrees"]) if row["degrees"] else stats.norm()
    return float(2 * shape.sf(beyond / half * shape.ppf((1 + level) / 2)))


def _adjusted(values: Sequence[float], correction: str) -> list[float]:
    if correction == "benjamini-hochberg":
        return [float(each) for each in stats.false_discovery_control(values)] if values else []
    found = list(values)
    if correction == "holm":
        order, largest = sorted(range(len(values)), key=lambda place: values[place]), 0.0
        for rank, place in enumerate(order):
            largest = max(largest, min(1.0, (len(values) - rank) * values[place]))
            found[place] = largest
    return found


def _result(
    gate: Row, g: int, judged: Sequence[_Judged], adjusted: Mapping[tuple[int, int], float], level: float
) -> Gate:
    if not judged:
        return Gate(gate["name"], gate["severity"], "error", 0, None, None, None, None, None)
    after = []
    for f, each in enumerate(judged):
        doubtful = each.status == "fail" and adjusted.get((g, f), 0.0) > (1 - level) * (1 + 1e-9)
        after.append(each._replace(status="inconclusive") if doubtful else each)
    place = min(range(len(after)), key=lambda f: (_SEVEREST.index(after[f].status), after[f].margin))
    worst = after[place]
    tested = (worst.p, adjusted.get((g, place)))
    return Gate(gate["name"], gate["severity"], worst.status, len(judged), *worst.numbers, *tested)
