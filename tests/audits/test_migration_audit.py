"""The migration audit: the same encoder says nothing, planted rotations are undone, mixed indexes break."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from merchant_shop import make_shop, shop_plan
from torch import Tensor

from robustrec.audits import run as runner
from robustrec.audits.migration import measure
from robustrec.audits.migration.again import not_again
from robustrec.audits.migration.config import MigrationAudit
from robustrec.audits.migration.vectors import fitted_adapter, mixed, quantised, undetermined
from robustrec.audits.outcome import make_report
from robustrec.audits.plan import cost_of
from robustrec.audits.suites import load_suite, parse_suite
from robustrec.encoders.store import tables_digest
from robustrec.errors import RobustrecError
from robustrec.reading.advice import lines_that_matter
from robustrec.reading.conditions import condition_words
from robustrec.reading.migration import migration_tables
from robustrec.reading.summary import summary_of
from robustrec.report.html.page import html_page
from robustrec.results.conditions import Condition
from robustrec.results.exhibits import ExposureShift
from robustrec.results.report import Report

SUITE = """
schema_version = 1
name = "moves"
metrics = ["ndcg@20", "recall@20"]
stability = ["rbo@20"]
bootstrap = { replicates = 200 }
[[audits]]
kind = "migration"
new_encoders = ["ENCODERS"]
shares = [0.0, 0.5, 1.0]
draws = 2
"""


def suite_of(*encoders: str, more: str = "") -> str:
    return SUITE.replace('"ENCODERS"', ", ".join(f'"{each}"' for each in encoders)) + more


def audited(plan: Any) -> tuple[Report, Any]:
    run = runner.measure(plan)
    cost, counted = cost_of(plan), run.context.costs
    assert counted.rankings <= cost.rankings
    assert counted.trainings <= cost.trainings
    assert counted.encodings <= cost.encodings
    return make_report(plan, run, command=["robustrec", "audit"])[0], counted


def rows_of(report: Report, **wanted: Any) -> list[Any]:
    fields = ("new_encoder", "adapter", "training", "share")
    return [
        row
        for row in report.findings
        if row.audit == "migration"
        and row.reference == "clean"
        and all(getattr(row.condition if key in fields else row, key) == value for key, value in wanted.items())
    ]


@pytest.fixture(scope="module")
def shop(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_shop(tmp_path_factory.mktemp("shop") / "shop", next(tiny_folder.glob("*.inter")), brands=True)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of features and trainings that the tests share."""
    return tmp_path_factory.mktemp("home")


def planted(plan: Any, change: Callable[[Tensor], Tensor]) -> tuple[Report, Any]:
    """Audit a migration to features that are a function of the old ones."""

    def new(_: Any, subject: Any, __: str) -> Any:
        old = subject.work.context.prepared.features
        tables = {name: change(table) for name, table in old.tables.items()}
        return replace(old, name="planted", tables=tables, digest=tables_digest(tables))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measure, "_new_features", new)
        return audited(plan)


def rotation(width: int, seed: int = 7) -> Tensor:
    found, _ = torch.linalg.qr(torch.randn(width, width, generator=torch.Generator().manual_seed(seed)).double())
    return found


def rotated(table: Tensor) -> Tensor:
    return (table.double() @ rotation(table.shape[1])).float()


@pytest.fixture(scope="module")
def turned(shop: Path, home: Path) -> Report:
    """A migration to vectors that are rotated: nothing is lost, but the model does not know the new axes."""
    return planted(shop_plan(shop, home, "vbpr", suite=suite_of("tiny-blip")), rotated)[0]


def test_fewer_bits_are_off_by_half_a_step_at_most() -> None:
    table = torch.randn(20, 16, generator=torch.Generator().manual_seed(1))
    table[3] = 0
    eight = quantised(table, "int8")
    assert ((eight - table).abs() <= table.abs().amax(dim=1, keepdim=True) / 253).all()
    assert len({round(float(each), 4) for each in eight[0] / table[0].abs().max() * 127} - set(range(-127, 128))) == 0
    assert torch.equal(quantised(eight, "int8").round(decimals=4), eight.round(decimals=4))
    assert torch.equal(quantised(table, "float16"), table.half().float())
    assert torch.isfinite(quantised(table * 1e6, "float16")).all()


@pytest.mark.parametrize("wider", [0, 5])
def test_an_adapter_recovers_a_planted_rotation_shift_and_scale(wider: int) -> None:
    old = torch.randn(40, 6, generator=torch.Generator().manual_seed(2))
    padded = torch.nn.functional.pad(old.double(), (0, wider))
    new = (2.5 * padded @ rotation(6 + wider) + 3.0).float()
    adapter = fitted_adapter(new[:30], old[:30])
    assert (adapter(new) - old).abs().max() < 1e-5
    assert adapter.scale == pytest.approx(1 / 2.5, rel=1e-6)
    narrow = fitted_adapter(old[:, :3], old)
    assert narrow(old[:, :3]).shape == old.shape


def test_an_adapter_that_too_few_items_fit_is_told_to_map_the_others_worse() -> None:
    old = torch.randn(60, 16, generator=torch.Generator().manual_seed(3))
    new = rotated(old)
    for n, enough in ((12, False), (17, True)):
        error = float((fitted_adapter(new[:n], old[:n])(new) - old)[n:].norm() / old[n:].norm())
        assert (error < 1e-5) == enough
        assert (undetermined("text", n, old, new) == "") == enough
    assert "--set migration.fit_items=17" in undetermined("text", 12, old, new)
    assert undetermined("text", 60, old.repeat(1, 5), new.repeat(1, 5)) == "", "no item is left out of the fit"


def test_new_vectors_of_some_items_leave_the_others_alone() -> None:
    old, new = {"text": torch.zeros(4, 2)}, {"text": torch.ones(4, 2)}
    assert mixed(old, new, torch.tensor([1, 3]))["text"][:, 0].tolist() == [0, 1, 0, 1]
    assert mixed(old, new, torch.arange(4))["text"] is new["text"]
    assert mixed(old, new, torch.arange(0))["text"] is old["text"]


def test_the_same_encoder_says_exactly_nothing(shop: Path, home: Path) -> None:
    training = 'training = ["kept", "retrained"]\n'
    report, costs = audited(shop_plan(shop, home, "freedom", suite=suite_of("same", "basic", more=training)))
    found = rows_of(report)
    assert {(row.condition.new_encoder, row.condition.adapter) for row in found} == {
        ("same", "none"),
        ("basic", "none"),
        ("basic", "procrustes"),
    }
    for row in found:
        if row.metric == "break_share":
            assert (row.clean, row.ci_low) == (None, 1.0)
        elif row.quantity == "value":
            assert row.clean == 0.0
        else:
            assert (row.drift, row.ci_low, row.ci_high) == (0.0, 0.0, 0.0), row
    assert costs.trainings <= 1, "the retrained model is the stored one"
    assert not [each for each in report.exhibits if isinstance(each, ExposureShift)]
    assert not any(
        line.startswith("migration (") or "changes" in line for line in lines_that_matter(summary_of(report))
    )


def test_a_rotation_breaks_a_kept_model_and_an_adapter_undoes_it(turned: Report) -> None:
    def overlap(adapter: str, training: str, share: float) -> float:
        (row,) = rows_of(turned, adapter=adapter, training=training, share=share, metric="overlap@20")
        return float(row.perturbed)

    assert overlap("none", "kept", 0.0) == 1
    assert overlap("none", "kept", 1.0) < 0.9
    assert overlap("procrustes", "kept", 1.0) > 0.99
    assert overlap("procrustes", "kept", 0.5) > 0.99
    (broken,) = rows_of(turned, adapter="none", training="kept", metric="break_share")
    assert broken.clean in (0.5, 1.0)
    assert broken.ci_low < broken.clean == broken.ci_high
    assert broken.interval == "bracket"
    (sound,) = rows_of(turned, adapter="procrustes", training="kept", metric="break_share")
    assert (sound.clean, sound.ci_low) == (None, 1.0)


def test_churn_stands_beside_that_of_another_seed(turned: Report) -> None:
    seed = rows_of(turned, training="other_seed")
    assert {row.metric for row in seed if row.quantity == "drift"} == {"overlap@20", "changed@20", "rbo@20"}
    (overlap,) = [row for row in seed if row.metric == "overlap@20"]
    assert 0 < overlap.perturbed < 1
    retrained = rows_of(turned, training="retrained", metric="ndcg@20", share=1.0)
    assert all("one training each" in row.note for row in retrained)
    (sentence,) = [line for line in lines_that_matter(summary_of(turned)) if line.startswith("migration (")]
    assert "by another training seed alone" in sentence
    changed = [line for line in lines_that_matter(summary_of(turned)) if "different items" in line]
    assert changed
    assert not any("other seed" in line for line in changed)


def test_moved_exposure_names_items_brands_and_categories(turned: Report) -> None:
    values = {row.metric: row.clean for row in rows_of(turned, adapter="none", training="kept", share=1.0)}
    moved = [values[f"exposure_moved_{each}"] for each in ("item", "brand", "category")]
    assert 1 > moved[0] >= moved[1] > 0
    shifts = [each for each in turned.exhibits if isinstance(each, ExposureShift)]
    assert {each.group for each in shifts} == {"item", "brand", "category"}
    for each in shifts:
        changes = [shift.after - shift.before for shift in each.shifts]
        assert changes == pytest.approx(sorted(changes), abs=1e-12)
        assert changes[0] < 0 < changes[-1]


def test_what_moves_in_opposite_directions_in_two_draws_has_moved() -> None:
    every = np.arange(2)
    members = measure._Members(every, every, np.ones(2))
    work = SimpleNamespace(once=lambda *_: (["first", "second"], members), plan=SimpleNamespace(dataset=None))
    audited: Any = SimpleNamespace(work=work, value=lambda _, metric, value, unit: (metric, value))
    config = parse_suite(suite_of("int8"), source="moves").audits[0]
    assert isinstance(config, MigrationAudit)
    draws = [np.array([20.0, 0.0]), np.array([0.0, 20.0])]
    found: Any = measure._moved(
        config,
        audited,
        Condition(kind="migration", new_encoder="int8", adapter="none", training="kept", share=0.5),
        np.array([10.0, 10.0]),
        draws,
    )
    assert dict(found) == {f"exposure_moved_{each}": 0.5 for each in ("item", "brand", "category")}


def test_tables_and_page(turned: Report) -> None:
    tables = migration_tables(summary_of(turned), intervals=False)
    assert [table.columns[1:] for table in tables][:2] == [
        ["0 %", "50 %", "100 %"],
        ["0 %", "50 %", "100 %", "breaks at"],
    ]
    assert tables[0].rows[0][0] == "old vectors, other seed"
    assert 'id="migration"' in html_page(turned)


def test_vectors_of_another_width_are_said_not_to_fit(shop: Path, home: Path) -> None:
    plan = shop_plan(shop, home, "vbpr", suite=suite_of("tiny-blip", more='training = ["kept", "retrained"]\n'))
    report, _ = planted(plan, lambda table: torch.nn.functional.pad(table, (0, 3)))
    (kept,) = rows_of(report, adapter="none", training="kept")
    assert kept.clean is None
    assert "cannot be scored: the model was trained on vectors of another width" in kept.note
    alone = rows_of(report, adapter="none", training="retrained", metric="ndcg@20")
    assert [row.condition.share for row in alone] == [1.0], "an index of two widths is not scored either"
    assert rows_of(report, adapter="procrustes", training="kept", share=0.5, metric="ndcg@20")
    assert {each.status for each in report.statuses if each.audit == "migration"} == {"ok"}


def test_a_retrained_model_is_not_scored_on_a_part_of_an_index_of_another_width(shop: Path, home: Path) -> None:
    suite = suite_of("tiny-blip", more='training = ["retrained"]\nadapters = ["none"]\n')
    plan = shop_plan(shop, home, "vbpr", suite=suite.replace("[0.0, 0.5, 1.0]", "[0.5]"))
    report, _ = planted(plan, lambda table: torch.nn.functional.pad(table, (0, 3)))
    (row,) = rows_of(report)
    assert (row.metric, row.clean) == ("break_share", None)
    assert "only a share of 1 can be audited" in row.note


def test_gates_and_wrong_settings(shop: Path, home: Path) -> None:
    gate = """
[[gates]]
name = "int8"
select = { audit = "migration", new_encoder = "int8", training = "kept", share = 1.0, metric = "overlap@20" }
quantity = "drift"
min = -0.2
bound = "estimate"
"""
    more = 'training = ["kept"]\n' + gate
    report, _ = audited(shop_plan(shop, home, "vbpr", suite=suite_of("int8", "float16", more=more)))
    assert [(each.status, each.selected) for each in report.gates] == [("pass", 1)]
    (eight,) = rows_of(report, new_encoder="int8", share=1.0, metric="overlap@20")
    assert 0.8 < eight.perturbed < 1
    with pytest.raises(RobustrecError, match="unknown encoder 'nothing'"):
        shop_plan(shop, home, "vbpr", suite=suite_of("nothing"))
    with pytest.raises(RobustrecError, match="longer than the lists"):
        parse_suite(suite_of("int8", more="k = 50\n"), source="x")
    with pytest.raises(RobustrecError, match="duplicate"):
        parse_suite(suite_of("int8", "int8"), source="x")


def test_a_new_encoder_needs_content_to_read(tiny_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RobustrecError, match="no texts and no pictures for a new encoder"):
        shop_plan(tiny_folder, tmp_path, "vbpr", suite=suite_of("basic"), features="imported")
    plan = shop_plan(tiny_folder, tmp_path, "vbpr", suite=suite_of("int8"), features="imported")
    assert cost_of(plan).encodings == 0


def test_labels_words_and_the_shipped_suite() -> None:
    condition = Condition(kind="migration", new_encoder="basic", adapter="procrustes", training="kept", share=0.5)
    assert condition.label == "migration=basic share=0.5 kept procrustes"
    assert condition_words(condition) == "basic, procrustes, kept, 50 % of items"
    assert {gate.select.audit for gate in load_suite("migration").gates} == {"migration"}
    assert np.isclose(condition.amount, 0.5)


def test_what_trains_on_edits_is_not_retrained_on_vectors_that_no_encoder_makes(shop: Path, home: Path) -> None:
    suite = suite_of("int8").replace("draws = 2", 'draws = 1\ntraining = ["kept", "retrained"]')
    plan = shop_plan(shop, home, "vbpr", suite=suite, strategy=("edit-aug",))
    assert cost_of(plan).trainings == 1, "that of the subject"
    report, _ = audited(plan)
    assert {each.status for each in report.statuses} == {"ok"}
    (row,) = rows_of(report, training="retrained")
    assert row.metric == "break_share"
    assert row.clean is None
    assert row.note == (
        "cannot be retrained: strategy edit-aug needs vectors of edited items, and no encoder makes int8 vectors of "
        "edited items"
    )
    assert rows_of(report, training="kept", share=1.0)
    only = suite.replace('["kept", "retrained"]', '["retrained"]')
    with pytest.raises(RobustrecError, match=r"cannot be retrained: the filter shrink=\.7,edits"):
        shop_plan(shop, home, "vbpr", suite=only, features="basic+shrink=.7,edits")


def test_an_encoder_can_make_edited_items_unless_they_are_mapped_or_of_other_weights(shop: Path, home: Path) -> None:
    config = shop_plan(shop, home, "vbpr", suite=suite_of("basic")).suite.audits[0]
    (spec,) = shop_plan(shop, home, "vbpr", suite=suite_of("basic"), features="basic+shrink=.7,edits").specs
    assert not not_again(config, spec, "basic", "none")
    assert "the space of procrustes" in not_again(config, spec, "basic", "procrustes")
    assert "not with those of the audit" in not_again(
        config.model_copy(update={"weights": ("a",)}), spec, "basic", "none"
    )
    plain = replace(spec, shrink=None)
    assert not not_again(config, plain, "int8", "none")
