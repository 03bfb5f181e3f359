"""Conditions of findings: what was done to the input, to the training or to the loss, as fields.

The label of a condition is made from its fields and is never parsed, except in reports and suites of older versions
(`labels.py`). Two conditions are equal exactly if their labels are.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    ModelWrapValidatorHandler,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from robustrec.subject import Record

Kind = Literal[
    "test",
    "noise",
    "std_noise",
    "break_point",
    "edit",
    "cause",
    "item_edit",
    "missing",
    "search",
    "migration",
    "clean_content",
    "clean_loss",
    "features",
    "parameters",
    "training_loss",
    "other",
]
Graphs = Literal["rebuilt", "frozen"]
Adapter = Literal["none", "procrustes"]
Training = Literal["kept", "retrained", "other_seed"]
Fill = Literal["mean", "zero", "other", "removed"]
Search = Literal["random", "worst", "best", "fgsm", "pgd"]

ALL = "all"
"""Modality of noise on all features; edit of the mean over all edits."""

SEEN, UNSEEN = "seen", "unseen"
"""Edit of the mean over the edits that training on edited content saw, and of the mean over those that it did not."""


def _six_digits(value: float) -> float:
    return float(f"{value:g}")


def _whole_percent(value: float) -> float:
    return int(f"{value:.0%}"[:-1]) / 100


Amount = Annotated[float, Field(ge=0), AfterValidator(_six_digits)]
"""A number of a condition. It keeps the six digits of the label, so that equal labels are equal conditions."""

ITEM_GRAPH, BYSTANDERS = "item_graph", "bystanders"
"""Causes of a drift that are no vectors: the rows of edited items in the item graphs, and those of the other items."""

KIND_FIELDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "test": ((), ()),
    "noise": (("modality", "graphs", "trained"), ("sigma2", "sigma_rel")),
    "std_noise": (("sigma_std", "modality", "graphs", "standardised"), ()),
    "break_point": (("metric", "drop"), ()),
    "edit": (("edit", "severity"), ("share", "graphs", "modality")),
    "cause": (("cause", "edit", "severity", "share"), ()),
    "item_edit": (("edit", "severity", "max_loss", "graphs"), ()),
    "missing": (("fill", "modality", "share", "graphs"), ()),
    "search": (("search", "budget", "severity"), ()),
    "migration": (("new_encoder", "adapter", "training"), ("share",)),
    "clean_content": ((), ("denoise",)),
    "clean_loss": (("standardised",), ()),
    "features": (("modality", "standardised"), ()),
    "parameters": (("standardised",), ("rho", "steps", "part")),
    "training_loss": (("standardised",), ("part",)),
    "other": (("name",), ()),
}
"""Kind -> (fields that it must have, further fields that it can have)."""


class Condition(Record):
    """Condition of a finding. Fields that do not apply to a kind are None and are left out of the JSON."""

    kind: Kind = Field(
        description="test: clean input; noise: Gaussian noise of a variance or a relative size; std_noise: noise in "
        "standard deviations of the features; break_point: search for the noise with a given loss; edit: merchant "
        "edit; cause: part of the drift under a merchant edit; item_edit: merchant edit of one item at a time; "
        "missing: features of a share of the items replaced; search: edits of one item found by a search; "
        "migration: items encoded by another encoder; "
        "clean_content: comparison with the clean content of the items; clean_loss: the audited loss on clean "
        "features; features, parameters, training_loss: curvature of the audited loss in the features or parameters, "
        "or of the training loss; other: a condition with a name alone"
    )
    edit: str | None = Field(
        default=None,
        min_length=1,
        description="name of the edit; all for the mean over all, seen and unseen for the means over the edits that "
        "training on edited content saw and did not see",
    )
    severity: int | None = Field(
        default=None, ge=0, description="severity of the edit; of a search, the largest severity"
    )
    share: Amount | None = Field(
        default=None,
        description="share of edited items, or of items with replaced or new features; the encoder audit has none",
    )
    max_loss: Amount | None = Field(
        default=None, description="share of its places in the top k above which the loss of an item counts"
    )
    fill: Fill | None = Field(
        default=None,
        description="what replaces the features of an item: mean of all items, zeros, those of another item, or those "
        "of an item without this content (removed)",
    )
    cause: str | None = Field(
        default=None,
        min_length=1,
        description="what a part of a drift comes from: text, image or another modality for its vectors, item_graph "
        "for the rows of edited items in the item graphs, bystanders for those of the other items; all for the whole "
        "drift",
    )
    search: Search | None = Field(
        default=None,
        description="edits of a search: random, worst or best found; fgsm, pgd: attacks on the features of the item by "
        "their gradient, which need not come from any content",
    )
    budget: int | None = Field(default=None, ge=1, description="largest number of edits of an item in a search")
    new_encoder: str | None = Field(
        default=None,
        min_length=1,
        description="encoder that replaces that of the features; float16 or int8: the old vectors in fewer bits; same: "
        "the old vectors",
    )
    adapter: Adapter | None = Field(
        default=None, description="how new vectors are mapped to the space of the old ones; none: as they are"
    )
    training: Training | None = Field(
        default=None,
        description="the model of a migration: kept, trained on old vectors; retrained on the new vectors of all "
        "items; other_seed: trained on old vectors from another seed",
    )
    modality: str | None = Field(
        default=None,
        min_length=1,
        description="modality with noise or of the derivatives, or all; for the means of the encoder audit, what the "
        "edits change: text, image, both or all",
    )
    sigma2: Amount | None = Field(default=None, description="variance of the noise")
    sigma_rel: Amount | None = Field(
        default=None, description="expected norm of the noise as a share of the norm of each feature vector"
    )
    sigma_std: Amount | None = Field(default=None, description="noise in standard deviations of the features")
    graphs: Graphs | None = Field(
        default=None,
        description="item graphs: rebuilt from the perturbed features, or frozen, those of the clean features; "
        "without effect on models without item graphs",
    )
    trained: bool | None = Field(default=None, description="whether the model was trained again on noisy features")
    metric: str | None = Field(default=None, min_length=1, description="metric whose loss a break point limits")
    drop: Annotated[float, AfterValidator(_whole_percent)] | None = Field(
        default=None, description="relative loss at the break point"
    )
    standardised: bool | None = Field(
        default=None,
        description="whether the margins of the loss are scaled to variance 1; false where no loss is used",
    )
    rho: Amount | None = Field(default=None, description="radius of the perturbation of the parameters")
    steps: int | None = Field(default=None, ge=1, description="ascent steps of the worst case")
    part: str | None = Field(default=None, min_length=1, description="part of the parameters, for example users")
    denoise: Literal["capfilt"] | None = Field(default=None, description="denoising before the encoder")
    name: str | None = Field(default=None, min_length=1, description="name of a condition of kind other")
    label: str = Field(default="", description="name of the condition, made from the other fields")

    @model_validator(mode="wrap")
    @classmethod
    def _labelled(cls, data: Any, handler: ModelWrapValidatorHandler[Condition]) -> Condition:
        condition = handler(data)
        condition._check_fields()
        label = _label(condition)
        if condition.label not in ("", label):
            raise ValueError(
                f"label {condition.label!r} does not match the fields of the condition, which give {label!r}"
            )
        object.__setattr__(condition, "label", label)
        return condition

    @model_serializer(mode="wrap")
    def _without_empty(self, handler: SerializerFunctionWrapHandler):  # type: ignore[no-untyped-def]
        # No return annotation: with one, the JSON Schema would be that of the annotation.
        return {name: value for name, value in handler(self).items() if value is not None}

    def _check_fields(self) -> None:
        needed, further = KIND_FIELDS[self.kind]
        for field in type(self).model_fields:
            given = getattr(self, field) is not None
            if field in ("kind", "label"):
                continue
            if given and field not in (*needed, *further):
                raise ValueError(f"a condition of kind {self.kind} has no {field}")
            if not given and field in needed:
                raise ValueError(f"a condition of kind {self.kind} needs {field}")
        if self.kind == "noise" and (self.sigma2 is None) == (self.sigma_rel is None):
            raise ValueError("a condition of kind noise needs either sigma2 or sigma_rel")
        if self.kind == "edit":
            mean_of_encoder = self.share is None and self.edit == ALL
            if (self.share is None) != (self.graphs is None):
                raise ValueError("a condition of kind edit needs both share and graphs, or neither")
            if (self.modality is not None) != mean_of_encoder:
                raise ValueError("a condition of kind edit has a modality exactly if it is a mean without share")

    @property
    def curve(self) -> tuple[object, ...]:
        """What the conditions of one curve share: all but the amount of noise, severity, or share of missing items."""
        shared: dict[str, tuple[object, ...]] = {
            "noise": (self.sigma2 is None, self.modality, self.graphs, self.trained),
            "edit": (self.edit, self.share, self.graphs, self.modality),
            "cause": (self.cause, self.edit, self.share),
            "item_edit": (self.edit, self.max_loss, self.graphs),
            "missing": (self.fill, self.modality, self.graphs),
            "migration": (self.new_encoder, self.adapter, self.training),
        }
        return (self.kind, *shared[self.kind]) if self.kind in shared else (self.label,)

    @property
    def amount(self) -> float:
        """Place on the curve: amount of noise, severity, or share of missing items; 0 for other kinds."""
        if self.kind in ("missing", "migration"):
            return float(self.share or 0)
        if self.kind in ("edit", "cause", "item_edit"):
            return float(self.severity or 0)
        return next((each for each in (self.sigma2, self.sigma_rel, self.sigma_std) if each is not None), 0.0)


def _label(condition: Condition) -> str:
    """Return the label of a condition whose fields are checked."""
    match condition.kind:
        case "test":
            label = "test"
        case "noise" | "std_noise":
            label = _noise_label(condition)
        case "break_point":
            label = f"break point: {condition.metric} -{condition.drop:.0%}"
        case "edit":
            label = _edit_label(condition)
        case "item_edit":
            frozen = "frozen graphs" if condition.graphs == "frozen" else ""
            loss = f"max_loss={condition.max_loss:g}"
            label = _joined("one item:", f"edit={condition.edit}", f"severity={condition.severity}", loss, frozen)
        case "missing":
            scope = "" if condition.modality == ALL else condition.modality
            frozen = "frozen graphs" if condition.graphs == "frozen" else ""
            label = _joined(f"fill={condition.fill}", f"share={condition.share:g}", frozen, scope)
        case "cause":
            edited = f"edit={condition.edit} severity={condition.severity} share={condition.share:g}"
            label = f"cause={condition.cause} {edited}"
        case "search":
            label = f"search={condition.search} budget={condition.budget} severity={condition.severity}"
        case "migration":
            share = "" if condition.share is None else f"share={condition.share:g}"
            adapter = "" if condition.adapter == "none" else str(condition.adapter)
            label = _joined(f"migration={condition.new_encoder}", share, condition.training, adapter)
        case "clean_content":
            label = "merchant noise" + (f", {condition.denoise}" if condition.denoise else "")
        case "other":
            label = str(condition.name)
        case _:
            label = _loss_label(condition)
    return label


def _noise_label(condition: Condition) -> str:
    scope = "" if condition.modality == ALL else condition.modality
    if condition.kind == "std_noise":
        graphs = "rebuilt graphs" if condition.graphs == "rebuilt" else ""
        return _joined(f"sigma_std={condition.sigma_std:g}", scope, graphs, _margins(condition))
    amount = f"sigma_rel={condition.sigma_rel:g}" if condition.sigma2 is None else f"sigma2={condition.sigma2:g}"
    trained = "trained" if condition.trained else ""
    return _joined(trained, amount, "frozen graphs" if condition.graphs == "frozen" else "", scope)


def _edit_label(condition: Condition) -> str:
    severity = f"severity={condition.severity}"
    if condition.share is not None:
        graphs = "frozen graphs" if condition.graphs == "frozen" else ""
        return _joined(f"edit={condition.edit}", severity, f"share={condition.share:g}", graphs)
    if condition.edit != ALL:
        return f"edit={condition.edit} {severity}"
    return f"all edits {severity}" if condition.modality == ALL else f"edits of {condition.modality} {severity}"


def _loss_label(condition: Condition) -> str:
    what = {"clean_loss": "clean", "training_loss": "training loss"}.get(condition.kind, condition.kind)
    rho = "" if condition.rho is None else f"rho={condition.rho:g}"
    steps = "" if condition.steps is None else f"steps={condition.steps}"
    label = _joined(what, condition.modality, rho, steps, _margins(condition))
    return f"{label}: {condition.part}" if condition.part else label


def _margins(condition: Condition) -> str:
    return "standardised" if condition.standardised else ""


def _joined(*words: str | None) -> str:
    return " ".join(word for word in words if word)


def named(condition: Condition | str) -> Condition:
    """Return the condition with a name of its own, as user-defined audits give it."""
    return Condition(kind="other", name=condition) if isinstance(condition, str) else condition


CLEAN_TEST = Condition(kind="test")
"""Condition of clean quality: the test split without a perturbation."""

MEAN_FEATURES = Condition(kind="missing", fill="mean", modality=ALL, share=1, graphs="rebuilt")
"""Condition that decides content use: all features of all items replaced by their mean, item graphs rebuilt."""

OTHER_FEATURES = Condition(kind="missing", fill="other", modality=ALL, share=1, graphs="rebuilt")
"""Condition with the features of all items exchanged."""
