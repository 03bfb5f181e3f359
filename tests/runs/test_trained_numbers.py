"""Stored trainings hold until a number is raised, and a change of what they end in demands that one is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import trained_numbers
from trained_numbers import FILE, cases, changed, found_now

from robustrec.models.contract import Loss
from robustrec.models.vbpr import VBPR
from robustrec.runs.formats import TRAINED_BY
from robustrec.runs.specs import SubjectSpec
from robustrec.runs.store import run_key
from robustrec.training import strategies, trainer
from robustrec.training.config import TrainingConfig
from robustrec.training.strategy_config import StrategyConfig

STORED = json.loads(FILE.read_text())
REGENERATE = "python tests/runs/trained_numbers.py"


def test_trained_numbers_are_those_that_the_format_numbers_stand_for():
    assert STORED["trained_by"] == TRAINED_BY, f"a number was raised; write the file anew: {REGENERATE}"
    different = changed(STORED, found_now(cases()))
    told = "; ".join(f"TRAINED_BY[{part!r}] ({', '.join(names[:3])} …)" for part, names in different.items())
    assert not different, (
        f"trainings end in other parameters than before, so stored ones are no longer valid. If that is meant, raise "
        f"{told} in robustrec/runs/formats.py and write the file anew: {REGENERATE} "
        f"(written with torch {STORED['torch']}, this is {torch.__version__})"
    )


def _of_vbpr():
    return {
        part: {n: case for n, case in each.items() if n.startswith(("vbpr", "metrics", "triples"))}
        for part, each in cases().items()
    }


def _other_loss(monkeypatch):
    plain = VBPR.loss

    def loss(self, *arguments):
        found = plain(self, *arguments)
        return Loss(found.total * 1.001, found.terms)

    monkeypatch.setattr(VBPR, "loss", loss)


def _other_count(monkeypatch):
    plain = strategies.Strategy.__init__

    def init(self, *arguments, **options):
        plain(self, *arguments, **options)
        self.count = 1

    monkeypatch.setattr(strategies.Strategy, "__init__", init)


def _no_decay(monkeypatch):
    monkeypatch.setattr(trainer, "_set_step_size", lambda *_: None)


def _last_not_best(monkeypatch):
    plain = trainer._judge
    monkeypatch.setattr(
        trainer, "_judge", lambda c, m, module, best: (plain(c, m, module, best), trainer._copy(module))[1]
    )


def _other_triples(monkeypatch):
    plain = trained_numbers.sample_epoch
    monkeypatch.setattr(trained_numbers, "sample_epoch", lambda p, g: plain(p, g.manual_seed(9)))


def _other_ranking(monkeypatch):
    plain = trained_numbers.rank
    monkeypatch.setattr(trained_numbers, "rank", lambda r, u, m, k: plain(r._replace(items=-r.items), u, m, k=k))


@pytest.mark.parametrize(
    ("plant", "part", "case"),
    [
        (_other_loss, "models", "vbpr"),
        (_other_count, "training", "vbpr, mirror"),
        (_no_decay, "training", "vbpr, vanilla"),
        (_last_not_best, "training", "vbpr, stopped early"),
        (_other_ranking, "evaluation", "metrics of whole scores"),
    ],
)
def test_a_change_is_seen_and_the_number_to_raise_is_named(plant, part, case, monkeypatch):
    plant(monkeypatch)
    different = changed(STORED, found_now(_of_vbpr()))
    assert set(different) == {part}
    assert case in different[part]


def test_other_triples_are_seen(monkeypatch):
    _other_triples(monkeypatch)
    assert "triples of an epoch" in changed(STORED, found_now({"training": _of_vbpr()["training"]}))["training"]


def test_a_key_follows_the_numbers_and_reads_no_sources(tiny, monkeypatch):
    def read(self):
        raise AssertionError(f"{self} was read")

    monkeypatch.setattr(Path, "read_bytes", read)
    spec = SubjectSpec("vbpr", {}, TrainingConfig(), StrategyConfig(), seed=0)
    before = run_key(spec, tiny)
    for part in TRAINED_BY:
        with monkeypatch.context() as patch:
            patch.setitem(TRAINED_BY, part, TRAINED_BY[part] + 1)
            assert run_key(spec, tiny) != before
    assert run_key(spec, tiny) == before
