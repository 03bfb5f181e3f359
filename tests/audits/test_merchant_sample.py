"""The merchant audit on a sample edition: what hurts more, and does more of it hurt more."""

from __future__ import annotations

from pathlib import Path

import pytest
from merchant_shop import rows, shop_plan

from robustrec.audits import run as runner

EDITS = ("promo_badge", "wrong_picture", "typos", "synonym_swap", "promo_phrase")
SUITE = f"""
schema_version = 1
name = "order"
metrics = ["ndcg@20"]
bootstrap = {{ replicates = 100 }}
[[audits]]
kind = "merchant"
edits = {list(EDITS)!r}
severities = [1, 3, 5]
shares = [0.2]
draws = 2
fragile = 1
""".replace("'", '"')


@pytest.fixture(scope="module")
def run(sample_home: Path) -> runner.Measurements:
    training = {"max_epochs": 12, "learning_rate": 0.01, "batch_size": 512}
    sample = {"edition": "sample", "features": "auto", "set": {"training": training}}
    plan = shop_plan(Path("clothing"), sample_home, "vbpr", suite=SUITE, **sample)
    return runner.measure(plan)


def _loss(run: runner.Measurements, edit: str, severity: int, metric: str = "ndcg@20_edited") -> float:
    (row,) = rows(run, condition=f"edit={edit} severity={severity} share=0.2", metric=metric)
    return -float(row.relative_drift)


def test_a_wrong_picture_hurts_more_than_a_small_badge(run: runner.Measurements) -> None:
    for severity in (3, 5):
        assert _loss(run, "wrong_picture", severity) > 2 * _loss(run, "promo_badge", 1)
        assert _loss(run, "wrong_picture", severity) > _loss(run, "promo_badge", severity)
        assert _loss(run, "wrong_picture", severity, "exposure@20_edited") > 0.1
    assert _loss(run, "synonym_swap", 5) > _loss(run, "promo_phrase", 1)


def test_severities_are_mostly_monotone(run: runner.Measurements) -> None:
    steps = [(edit, low, high) for edit in EDITS for low, high in ((1, 3), (3, 5))]
    rising = [_loss(run, edit, high) >= _loss(run, edit, low) for edit, low, high in steps]
    assert sum(rising) >= 0.75 * len(steps), [step for step, up in zip(steps, rising, strict=True) if not up]
    assert sum(_loss(run, edit, 5) > _loss(run, edit, 1) for edit in EDITS) >= len(EDITS) - 1
