"""Selection of findings by the fields of their condition, metric and subject."""

from __future__ import annotations

import fnmatch
import json
import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from robustrec.results.conditions import (
    ALL,
    KIND_FIELDS,
    Adapter,
    Amount,
    Condition,
    Fill,
    Graphs,
    Kind,
    Search,
    Training,
)
from robustrec.results.findings import CLEAN, STRATA, Finding, Group, SegmentKind
from robustrec.results.labels import condition_of
from robustrec.subject import Record
from robustrec.training.strategy_names import canonical_strategy

ANY = "*"
BY_LABEL = "selection by label"
"""Start of the warning for a gate that selects by the label of a condition."""

_KEYS = (
    *("kind", "edit", "severity", "share", "sigma2", "sigma_rel", "sigma_std", "modality", "graphs", "trained"),
    *("standardised", "rho", "steps", "part", "denoise", "fill", "cause", "search", "budget", "max_loss"),
    *("new_encoder", "adapter", "training", "name"),
)
"""Keys of a selection that are fields of the condition."""

_NUMBER = re.compile(r"(?<==)[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?=\s|$)")
_WORDS: dict[str, dict[str, Any]] = {
    "*": {},
    "graphs": {},
    "point:": {},
    "edits": {"edit": ALL},
    "of": {},
    "trained": {"trained": True},
    "frozen": {"graphs": "frozen"},
    "rebuilt": {"graphs": "rebuilt"},
    "standardised": {"standardised": True},
    "image": {"modality": "image"},
    "text": {"modality": "text"},
    "both": {"modality": "both"},
    "all": {"edit": ALL, "modality": ALL},
    "break": {"kind": "break_point"},
    "parameters": {"kind": "parameters"},
    "features": {"kind": "features"},
}
"""Words of a label pattern -> keys of the selection."""


class Select(Record):
    """Findings that a gate checks. A missing key matches any value; * and ? are wildcards in texts."""

    audit: str = Field(default=ANY, min_length=1, description="kind of audit; clean for clean quality")
    metric: str = Field(min_length=1, description="metric, for example ndcg@20")
    group: Group | None = Field(
        default=None,
        description="whom the metric is of: edited, head, tail, untouched or all in an audit of edits, or cold_items, "
        "warm_items or cold_users; the same as the end of a metric's name, as in ndcg@20_edited",
    )
    segment_by: SegmentKind | None = Field(
        default=None,
        description="segments of the users: activity, popularity, category, brand, price, item:COLUMN or user:COLUMN; "
        "see `segment`",
    )
    segment: str | None = Field(
        default=None,
        min_length=1,
        description="name of a segment, for example low for segment_by activity, or a category; all by default",
    )
    kind: Kind | None = Field(default=None, description="kind of the condition, for example break_point")
    edit: str | None = Field(default=None, min_length=1, description="name of the edit; all for the mean over all")
    severity: int | None = Field(default=None, ge=0, description="severity of the edit")
    share: Amount | None = Field(default=None, description="share of edited items, or of items with replaced features")
    modality: str | None = Field(
        default=None,
        min_length=1,
        description="modality with noise or replaced features by its name, or all for all features",
    )
    sigma2: Amount | None = Field(default=None, description="variance of the noise")
    sigma_rel: Amount | None = Field(default=None, description="relative size of the noise")
    sigma_std: Amount | None = Field(default=None, description="noise in standard deviations of the features")
    graphs: Graphs | None = Field(default=None, description="item graphs: rebuilt or frozen")
    trained: bool | None = Field(default=None, description="whether the model was trained again on noisy features")
    standardised: bool | None = Field(
        default=None, description="whether the margins of the loss are scaled to variance 1"
    )
    rho: Amount | None = Field(default=None, description="radius of the perturbation of the parameters")
    steps: int | None = Field(default=None, ge=1, description="ascent steps of the worst case")
    part: str | None = Field(default=None, min_length=1, description="part of the parameters, for example users")
    denoise: str | None = Field(default=None, min_length=1, description="denoising before the encoder: capfilt")
    fill: Fill | None = Field(
        default=None, description="what replaces the features of an item: mean, zero, other or removed"
    )
    cause: str | None = Field(
        default=None,
        min_length=1,
        description="cause of a part of the drift: a modality, item_graph or bystanders; all for the whole drift",
    )
    search: Search | None = Field(
        default=None, description="edits of a search: random, worst or best; attacks on the features: fgsm or pgd"
    )
    budget: int | None = Field(default=None, ge=1, description="largest number of edits of an item in a search")
    max_loss: Amount | None = Field(
        default=None, description="share of its places above which the loss of an item counts, in the guarantee audit"
    )
    new_encoder: str | None = Field(
        default=None, min_length=1, description="new encoder of a migration, or float16, int8 or same"
    )
    adapter: Adapter | None = Field(default=None, description="adapter of a migration: none or procrustes")
    training: Training | None = Field(default=None, description="model of a migration: kept, retrained or other_seed")
    name: str | None = Field(default=None, min_length=1, description="name of a condition without fields")
    condition: str = Field(
        default=ANY,
        min_length=1,
        description="older form of the keys above: the label of the condition, with wildcards",
    )
    strategy: Annotated[str, AfterValidator(canonical_strategy)] = Field(
        default=ANY, min_length=1, description="training strategy"
    )
    model: str = Field(default=ANY, min_length=1, description="recommender")
    features: str = Field(default=ANY, min_length=1, description="encoder that made the item features")
    reference: Annotated[str, AfterValidator(canonical_strategy)] = Field(
        default=CLEAN, min_length=1, description='"clean", the strategy to compare with, or "baseline"; see `against`'
    )

    @model_validator(mode="after")
    def _can_match(self) -> Select:
        if self.segment is not None and self.segment_by is None:
            raise ValueError(
                "segment needs segment_by: activity, popularity, category, brand, price, item:COLUMN or user:COLUMN"
            )
        given = list(self.fields)
        if given and self.condition != ANY:
            raise ValueError(f"condition and {given[0]} cannot be combined: remove condition")
        named = [name for name in given if name != "kind"]
        kinds = [kind for kind, fields in KIND_FIELDS.items() if {*named} <= {name for part in fields for name in part}]
        if not kinds:
            raise ValueError(f"no condition has {' and '.join(named)} together: remove one of them")
        if self.kind is not None and self.kind not in kinds:
            raise ValueError(f"a condition of kind {self.kind} does not have {' and '.join(named)}")
        return self

    @model_serializer(mode="wrap")
    def _without_empty(self, handler: SerializerFunctionWrapHandler):  # type: ignore[no-untyped-def]
        # Keys that are not given change no digest of a suite.
        return {name: value for name, value in handler(self).items() if value is not None}

    @property
    def fields(self) -> dict[str, Any]:
        """Wanted fields of the condition."""
        return {name: value for name in _KEYS if (value := getattr(self, name)) is not None}

    @property
    def metric_name(self) -> str:
        """The metric with its group: exposure@20_edited."""
        end = f"_{self.group}" if self.group else ""
        return self.metric.removesuffix(end) + end

    @property
    def of_training_noise(self) -> bool:
        """Whether only findings of models that were trained again are selected."""
        wanted = self.fields if self.condition == ANY else keys_of_label(self.condition) or {}
        return wanted.get("trained") is True

    @property
    def words(self) -> str:
        """The wanted condition in words: edit 'promo_badge', severity 3."""
        fields = self.fields or ({} if self.condition == ANY else {"condition": self.condition})
        return ", ".join(f"{name} {value!r}" for name, value in fields.items())

    def wants(self, condition: Condition) -> bool:
        """Return whether a condition is selected."""
        if self.condition != ANY:
            return matches(plain_label(condition.label), plain_label(self.condition))
        return all(_fits(getattr(condition, name), wanted) for name, wanted in self.fields.items())

    def wants_metric(self, finding: Finding) -> bool:
        """Return whether the metric of a finding is selected, with its group."""
        if not self._wants_segment(finding):
            return False
        if self.group is None and finding.group in STRATA:
            return finding.metric == self.metric  # never by a wildcard: a stratum is asked for by its name
        if self.group is None:
            return matches(finding.metric, self.metric)
        return finding.group == self.group and matches(finding.metric, self.metric_name)

    def _wants_segment(self, finding: Finding) -> bool:
        """Return whether a finding is of all users if no segment is selected, or of a selected segment."""
        if self.segment_by is None or finding.segment is None:
            return self.segment_by is None and finding.segment is None
        return finding.segment_by == self.segment_by and matches(finding.segment, self.segment or ANY)


def matches(text: str, pattern: str) -> bool:
    """Return whether a text matches a pattern; * matches any text and ? matches one character."""
    return fnmatch.fnmatchcase(text, pattern.replace("[", "[[]"))


def _fits(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, str):
        return value is not None and matches(value, wanted)
    return bool(value == wanted)


def plain_label(label: str) -> str:
    """Return a label with its numbers in one spelling, so that 1e-6, 1e-06 and 0.000001 are the same."""
    return _NUMBER.sub(lambda match: f"{float(match[0]):g}", label)


def label_warning(gate: str, select: Select) -> str:
    """Return that a gate selects by the label of a condition, with the keys to write; empty if it does not."""
    if select.condition == ANY:
        return ""
    label = json.dumps(select.condition, ensure_ascii=False)
    notice = f"{BY_LABEL}: gate {gate!r} selects findings by condition = {label}, the older form"
    keys = keys_of_label(select.condition)
    if keys is None:
        return f"{notice}; select them by keys, for example edit and severity: docs/gates.md lists the keys"
    written = {"audit": select.audit, **keys, "metric": select.metric}
    written |= {name: getattr(select, name) for name in ("group", "strategy", "model", "features")}
    shown = {name: value for name, value in written.items() if value not in (None, ANY)}
    if select.reference != CLEAN:
        shown["reference"] = select.reference
    pairs = ", ".join(f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in shown.items())
    return f"{notice}; write instead: select = {{ {pairs} }}"


def keys_of_label(pattern: str) -> dict[str, Any] | None:
    """Return the keys that select the conditions of a label or label pattern; None if no keys do."""
    plain = plain_label(pattern)
    if not re.search(r"[*?]", plain):
        return _keys_of(condition_of(plain))
    keys: dict[str, Any] = {}
    for word in plain.split():
        found = _keys_of_word(word)
        if found is None:
            return None
        keys |= found
    if keys.keys() & {"sigma2", "sigma_rel"} and not plain.startswith("*"):
        keys.setdefault("trained", False)
    return keys or ({"kind": "edit"} if "edit=" in plain else None)


def _keys_of(condition: Condition) -> dict[str, Any]:
    keys = {name: value for name in _KEYS if (value := getattr(condition, name)) is not None}
    if {*keys} & {"edit", "sigma2", "sigma_rel", "sigma_std", "name"}:
        del keys["kind"]
    return keys


def _keys_of_word(word: str) -> dict[str, Any] | None:
    name, equals, value = word.partition("=")
    if not equals:
        return _WORDS.get(word)
    if name == "edit":
        return {} if value == ANY else {name: value}
    if name not in _KEYS or value == ANY:
        return {} if name in _KEYS else None
    try:
        number = float(value.removesuffix("*"))
    except ValueError:
        return None
    return {name: int(number) if name in ("severity", "steps") else number}
