"""Selection of the finalists of a race, by validation with successive halving."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from robustrec.audits.content_use import mean_filled
from robustrec.audits.merchant.drawn import replaced
from robustrec.comparison.budget import gradient_evaluations
from robustrec.comparison.edits import EditedCatalog
from robustrec.comparison.race.plan import RacePlan
from robustrec.comparison.race.result import RungScore
from robustrec.comparison.race.rungs import promoted
from robustrec.comparison.run import METRIC
from robustrec.datasets.interactions import VALIDATION
from robustrec.evaluation.places import per_user_accuracy
from robustrec.files import digest_array, digest_json, write_atomically
from robustrec.progress import Progress
from robustrec.results.content_use import ENOUGH
from robustrec.runs.prepared import Prepared, with_users
from robustrec.runs.specs import SubjectSpec
from robustrec.runs.store import run_key
from robustrec.runs.subjects import paused_subject
from robustrec.runs.trained import TrainedSubject
from robustrec.training.trainer import NotFiniteError
from robustrec.untrusted import UnreadableError, read_json_object

CONTENT_FREE = "content-free"
"""Why an arm that ignores content does not go on."""
_RECORD_BYTES = 1 << 20


def selected(
    plan: RacePlan, model: str, prepared: Prepared, edited: EditedCatalog, progress: Progress
) -> tuple[list[str], list[RungScore]]:
    """Return the finalists, the reference's best setting among them, and the scores of all rungs."""
    arms = {arm.name: arm for arm in plan.arms[model]}
    reference = [name for name, arm in arms.items() if arm.reference]
    racing, scores = list(arms), list[RungScore]()
    lost: NotFiniteError | None = None
    n_train = len(prepared.positives.users)
    for number, rung in enumerate(plan.rungs(model)):
        found: dict[str, RungScore] = {}
        for name in racing:
            arm, epochs = arms[name], plan.epochs_at(arms[name], rung.share)
            known = {
                "rung": number,
                "share": rung.share,
                "arm": name,
                "epochs": epochs,
                "gradients": gradient_evaluations(arm.spec, n_train, epochs),
            }
            try:
                values = [
                    _scored(plan, arm.at(seed), epochs, prepared, edited, progress) for seed in plan.selection_seeds
                ]
            except NotFiniteError as error:
                found[name] = RungScore(**known, score=None, dropped=f"diverged: {error.what}")
                lost = error
                continue
            left = [each["left"] for each in values]
            found[name] = RungScore(
                **known,
                score=sum(each["score"] for each in values) / len(values),
                left=None if None in left else sum(left) / len(left),
            )
        free = {name for name, each in found.items() if each.left is not None and each.left >= ENOUGH}
        ranked = {
            name: each.score
            for name, each in found.items()
            if each.score is not None and (name in reference or name not in free)
        }
        if lost is not None and not any(name in ranked for name in reference):
            raise lost  # there is nothing to compare with
        racing = promoted(ranked, reference, rung.kept)
        for name, each in found.items():
            why = "" if name in racing else CONTENT_FREE if name in free else "lower validation score"
            scores.append(each.model_copy(update={"dropped": each.dropped or why}))
        progress("race", number + 1, len(plan.rungs(model)), f"{model}: {len(racing)} arms go on")
    return racing, scores


def _scored(
    plan: RacePlan, spec: SubjectSpec, epochs: int, prepared: Prepared, edited: EditedCatalog, progress: Progress
) -> dict[str, Any]:
    """Return the validation objective of a training after some epochs, and what is left of its quality without content.

    Both are stored, so that a race that was killed goes on with the same numbers.
    """
    key = digest_json([run_key(spec, prepared), epochs, METRIC, _digest(edited)])
    path = plan.base.settings.home / "races" / f"{key[:32]}.json"
    if (stored := _read(path)) is not None:
        return stored
    subject = paused_subject(spec, prepared, epochs, home=plan.base.settings.home, progress=progress)
    found = validation_objective(subject, prepared, edited)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(found))
    return found


def _digest(edited: EditedCatalog) -> str:
    """Return the digest of the vectors of edits."""
    parts = [
        [
            condition.label,
            digest_array(each.items),
            {name: digest_array(np.asarray(t)) for name, t in each.tables.items()},
        ]
        for condition, draws in edited.draws.items()
        for each in draws
    ]
    return digest_json(parts)


def validation_objective(subject: TrainedSubject, prepared: Prepared, edited: EditedCatalog) -> dict[str, Any]:
    """Return the mean quality of the validation users under edits (`score`), or clean, and `left` without content."""
    split = with_users(prepared.dataset, prepared.validation, VALIDATION)

    def quality(features: Any = None) -> float:
        values = per_user_accuracy(subject.represent(features), split.users, split.mask, split.wanted, [METRIC])
        return float(values[METRIC].mean())

    clean = quality()
    score, left = clean, None
    if subject.scored_tables:
        left = quality(mean_filled(subject)) / clean if clean > 0 else None
        under = list(_under_edits(subject, edited, quality))
        score = sum(under) / len(under) if under else clean
    return {"score": score, "left": left}


def _under_edits(subject: TrainedSubject, edited: EditedCatalog, quality: Any) -> Iterator[float]:
    for draws in edited.draws.values():
        for each in draws:
            yield quality({name: replaced(table, each, name) for name, table in subject.tables.items()})


def _read(path: Path) -> dict[str, Any] | None:
    """Return a stored score; None if there is none, or if it is damaged."""
    try:
        found = read_json_object(path, most=_RECORD_BYTES)
    except (OSError, ValueError, UnreadableError):
        return None
    score, left = found.get("score"), found.get("left")
    fine = isinstance(score, float) and math.isfinite(score) and (left is None or isinstance(left, float))
    return {"score": score, "left": left} if fine else None
