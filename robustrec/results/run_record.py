"""Where a run took place, what it cost, and the file of its per-user arrays."""

from __future__ import annotations

from pydantic import Field

from robustrec.subject import Record


class Environment(Record):
    """Software and hardware of the run."""

    python: str
    torch: str
    numpy: str
    platform: str
    device: str
    threads: int = Field(ge=1)


class Costs(Record):
    """Work counts of the audits."""

    trainings: int = Field(default=0, ge=0)
    representations: int = Field(default=0, ge=0, description="number of forward passes over all users and items")
    rankings: int = Field(default=0, ge=0, description="number of full rankings of all evaluated users")
    encodings: int = Field(default=0, ge=0, description="number of edited items that the encoder encoded")
    gradients: int = Field(
        default=0, ge=0, description="number of gradients and Hessian-vector products over the training graph"
    )


class ArraysRecord(Record):
    """The file of per-user arrays beside the report."""

    file: str = Field(description="file name, in the folder of the report")
    digest: str
