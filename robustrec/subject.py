"""What was audited, and the base of all settings and of every record that is written or shown."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

EXTERNAL = "external"
"""Strategy of a subject that was not trained here."""


class Record(BaseModel):
    """Base of settings, manifests and all parts of a report: immutable, no unknown keys, no NaN and no infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Subject(Record):
    """What was audited: a model trained with a strategy on features, from one seed."""

    model: str = Field(min_length=1, description="name of the recommender, e.g. slmrec")
    strategy: str = Field(min_length=1, description="training strategy, e.g. sgbd")
    features: str = Field(min_length=1, description="encoder behind the item features, e.g. basic")
    seed: int = Field(description="seed of the training")

    @property
    def label(self) -> str:
        """The subject in one line, e.g. "slmrec/sgbd/basic/seed 0"."""
        return f"{self.model}/{self.strategy}/{self.features}/seed {self.seed}"
