"""A whole audit through the library: A/A finds exactly nothing, planted caches end in ERROR, rows agree with arrays."""

import io
import shutil

import numpy as np
import pytest
import torch

from robustrec.audits import results as results
from robustrec.audits import run as runner
from robustrec.audits.outcome import make_report, write_outcome
from robustrec.audits.plan import cost_of, make_plan
from robustrec.config import Settings
from robustrec.errors import RobustrecError
from robustrec.results.report import read_report

SUITE = """
schema_version = 1
name = "test"
metrics = ["ndcg@20", "recall@20"]
stability = ["rbo@20", "changed@20"]
bootstrap = { replicates = 200 }
[[audits]]
kind = "noise"
sigma2 = [0.0, 1e-6, 1e-1]
relative = [0.5]
scopes = ["all", "text"]
draws = 3
break_point = { metric = "ndcg@20", sigma2_min = 1e-6, sigma2_max = 1e3, draws = 2, steps = 3 }
training = { sigma2 = [1e-2], draws = 2 }
[[gates]]
name = "stands noise"
select = { audit = "noise", sigma2 = 1e-6, modality = "all", metric = "ndcg@20" }
quantity = "drift"
min = -0.5
"""


def _plan(folder, home, *, model=("vbpr",), suite=SUITE, strategy=("vanilla", "sgbd"), **settings):
    path = home / "suite.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(suite)
    overrides = {"training": {"max_epochs": 6, "learning_rate": 0.01, "batch_size": 128}}
    return make_plan(
        Settings(
            home=home,
            model=model,
            dataset=str(folder),
            strategy=strategy,
            suite=str(path),
            device="cpu",
            set=overrides,
            **settings,
        )
    )


@pytest.fixture(scope="module")
def audited(tiny_folder, tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    plan = _plan(tiny_folder, home)
    run = runner.measure(plan)
    report, arrays = make_report(plan, run, command=["robustrec", "audit"])
    return plan, run, write_outcome(report, arrays, home / "report.json"), arrays, home


def _rows(report, **wanted):
    return [f for f in report.findings if all(_label_or(f, key) == value for key, value in wanted.items())]


def _label_or(row, key):
    return row.condition.label if key == "condition" else getattr(row, key)


def test_no_noise_finds_exactly_nothing(audited):
    rows = _rows(audited[2], condition="sigma2=0", reference="clean")
    assert {row.metric for row in rows} == {"ndcg@20", "recall@20", "rbo@20", "changed@20"}
    for row in rows:
        assert (row.drift, row.ci_low, row.ci_high) == (0.0, 0.0, 0.0), row.metric
        assert row.relative_drift in (0.0, None)


def test_heavy_noise_moves_the_lists_and_lowers_quality(audited):
    for row in _rows(audited[2], condition="sigma_rel=0.5", reference="clean", metric="changed@20"):
        assert row.drift > 0.5
    for row in _rows(audited[2], condition="sigma2=0.1", reference="clean", metric="rbo@20"):
        assert row.drift < -0.05


def test_rows_agree_with_the_arrays_beside_the_report(audited):
    _, _, report, data, home = audited
    arrays = np.load(home / report.arrays.file, allow_pickle=False)
    assert (home / report.arrays.file).read_bytes() == data
    for row in report.findings:
        if row.audit != "noise" or row.reference != "clean" or row.quantity != "drift":
            continue
        label = row.subject.label.replace("/", ":")
        perturbed = arrays[f"{label}|noise|{row.condition.label}|{row.metric}"]
        assert perturbed.shape == (row.n_draws, row.n_users)
        assert float(perturbed.mean()) == pytest.approx(row.perturbed, rel=1e-12, abs=1e-15)
        if "@" in row.metric and row.metric.split("@")[0] in {"ndcg", "recall"}:
            clean = arrays[f"{label}|clean|test|{row.metric}"]
            assert float((perturbed - clean).mean()) == pytest.approx(row.drift, rel=1e-9, abs=1e-12)


def test_differences_between_strategies_are_the_differences_of_their_rows(audited):
    report = audited[2]
    for row in _rows(report, audit="noise", reference="vanilla"):
        own, other = (
            _rows(
                report,
                audit="noise",
                reference="clean",
                condition=row.condition.label,
                metric=row.metric,
                subject=subject,
            )
            for subject in (row.subject, row.subject.model_copy(update={"strategy": "vanilla"}))
        )
        assert row.drift == pytest.approx(own[0].drift - other[0].drift, abs=1e-12)
    clean = _rows(report, audit="clean", reference="vanilla", metric="ndcg@20")
    assert len(clean) == 1
    assert clean[0].subject.strategy == "sgbd"


def test_noise_in_training_trains_anew_and_differs_from_noise_at_inference(audited):
    _, run, report, _, _ = audited
    rows = _rows(report, condition="trained sigma2=0.01", reference="clean", metric="changed@20")
    assert [row.n_draws for row in rows] == [2, 2]
    assert all(row.drift > 0 for row in rows)
    assert run.context.costs.trainings == 2 + 2 * 2


def test_the_run_costs_no_more_than_the_plan_announced(audited):
    plan, run, _, _, _ = audited
    cost = cost_of(plan)
    assert run.context.costs.trainings <= cost.trainings
    assert run.context.costs.rankings <= cost.rankings


def test_the_same_plan_again_trains_nothing_and_finds_the_same(audited):
    plan, _, report, arrays, _ = audited
    again = runner.measure(plan)
    assert again.context.costs.trainings == 0
    second, data = make_report(plan, again, command=["robustrec", "audit"])
    assert second.findings == report.findings
    assert second.gates == report.gates
    first, then = (np.load(io.BytesIO(each)) for each in (arrays, data))
    assert all(np.array_equal(first[name], then[name]) for name in first)


def test_arrays_too_large_to_keep_are_kept_as_means_over_the_draws(audited, monkeypatch):
    plan, _, _, data, _ = audited
    monkeypatch.setattr(results, "KEPT_BYTES", 0)
    kept = runner.measure(plan).results.arrays
    whole = np.load(io.BytesIO(data), allow_pickle=False)
    names = [name for name in kept if "|noise|" in name]
    assert names
    for name in names:
        assert np.array_equal(kept[name], whole[name].mean(axis=0))


def test_the_report_reads_back_as_it_was_written(audited):
    _, _, report, _, home = audited
    assert read_report(home / "report.json") == report


@pytest.mark.parametrize("cached", ["image", "text", "both"])
def test_a_planted_model_that_scores_from_a_cache_ends_in_error(cached, tiny_folder, tmp_path, monkeypatch):
    plan = _plan(tiny_folder, tmp_path, strategy=("vanilla",))
    honest = runner.TrainedSubject.represent

    def from_cache(self, features=None, *, frozen=False):
        held = self.tables if cached == "both" else {cached: self.tables[cached]}
        return honest(self, {**(features or self.tables), **held}, frozen=frozen)

    monkeypatch.setattr(runner.TrainedSubject, "represent", from_cache)
    report, _ = make_report(plan, runner.measure(plan), command=["robustrec"])
    assert report.verdict == "error"
    broken = [status for status in report.statuses if status.status == "error"]
    assert {status.audit for status in broken} == {"reach", "noise"}
    assert "did not reach the scores" in broken[0].message
    assert not _rows(report, audit="noise"), "no drift is reported that could not be measured"


@pytest.mark.parametrize("model", ["bpr", "lightgcn"])
def test_a_suite_that_can_measure_nothing_for_the_models_is_refused_before_training(model, tiny_folder, tmp_path):
    with pytest.raises(RobustrecError, match="cannot measure anything") as caught:
        _plan(tiny_folder, tmp_path, model=(model,), strategy=("vanilla",))
    assert model in caught.value.what
    assert f"--model {model}" in caught.value.where
    assert "--model vbpr" in caught.value.fix
    assert not (tmp_path / "runs").exists()


def test_a_plan_says_which_audits_measure_nothing_for_which_model(tiny_folder, tmp_path):
    plan = _plan(tiny_folder, tmp_path, model=("bpr", "vbpr"), strategy=("vanilla",))
    (note,) = plan.notes
    assert note.startswith("bpr: the model reads no item features")
    assert "noise measures nothing" in note
    without = SUITE.replace("training = { sigma2 = [1e-2], draws = 2 }", "")
    with pytest.raises(RobustrecError, match="scores do not depend on the item features"):
        _plan(tiny_folder, tmp_path, model=("bm3",), strategy=("vanilla",), suite=without)
    assert _plan(tiny_folder, tmp_path, model=("bm3",), strategy=("vanilla",)).notes == ()  # noise in training


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("sigma2 = 1e-6, modality", "sigma2 = 1e-7, modality", "sigma2"),
        ('modality = "all"', 'modality = "image"', "modality"),
        ('sigma2 = 1e-6, modality = "all"', 'edit = "crop"', "edit"),
        ('metric = "ndcg@20" }\nquantity', 'metric = "snr_db_image" }\nquantity', "metric"),
        ('quantity = "drift"\nmin = -0.5', 'quantity = "value"\nmin = 0.5', "metric"),
        (
            "min = -0.5",
            'min = -0.5\noptional = true\n[[gates]]\nname = "b"\nselect = { audit = "noise", '
            'condition = "typo", metric = "ndcg@20" }\nquantity = "drift"\nmin = -0.5\noptional = true',
            "condition",
        ),
    ],
)
def test_a_gate_that_can_select_nothing_is_refused_before_training(old, new, what, tiny_folder, tmp_path):
    assert old in SUITE
    with pytest.raises(RobustrecError, match="cannot match a finding") as caught:
        _plan(tiny_folder, tmp_path, suite=SUITE.replace(old, new))
    assert f"select.{what}" in caught.value.where
    assert caught.value.fix


def test_a_selection_by_label_is_warned_of_before_training(tiny_folder, tmp_path):
    assert not [each for each in _plan(tiny_folder, tmp_path).warnings if "selection by label" in each]
    labelled = SUITE.replace('sigma2 = 1e-6, modality = "all"', 'condition = "sigma2=1e-6"')
    (told,) = [each for each in _plan(tiny_folder, tmp_path, suite=labelled).warnings if "selection by label" in each]
    assert 'sigma2 = 1e-06, modality = "all", graphs = "rebuilt", trained = false, metric = "ndcg@20" }' in told


def test_lists_that_cannot_be_filled_are_counted_in_a_warning(tiny_folder, tmp_path):
    """One user has trained on 45 of the 60 items."""
    folder = tmp_path / "heavy"
    shutil.copytree(tiny_folder, folder)
    path = next(folder.glob("*.inter"))
    header, *rows = path.read_text().splitlines()
    rest = [row for row in rows if row.split("\t")[0] != "0"]
    heavy = [f"0\t{item}\t5.0\t0\t{0 if item < 45 else item - 44}" for item in range(47)]
    path.write_text("\n".join([header, *heavy, *rest]) + "\n")
    suite = SUITE.replace("rbo@20", "rbo@50")
    plan = _plan(folder, tmp_path, suite=suite, strategy=("vanilla",))
    report, _ = make_report(plan, runner.measure(plan), command=["robustrec"])
    short = [warning for warning in report.warnings if "fewer than 50 items left" in warning]
    assert len(short) == 1
    rows = [row for row in report.findings if row.audit == "noise" and row.condition.label == "sigma2=0"]
    assert all((row.drift, row.ci_low, row.ci_high) == (0.0, 0.0, 0.0) for row in rows)
    assert "rbo@50" in {row.metric for row in rows}


def test_full_only_suites_refuse_the_sample(tmp_path):
    suite = SUITE.replace('name = "test"', 'name = "test"\nrequire_edition = "full"')
    with pytest.raises(RobustrecError):
        _plan("clothing", tmp_path, suite=suite)
    with pytest.raises(RobustrecError, match="requires the full edition"):
        _plan("clothing", tmp_path, suite=suite, edition="sample")


def test_noise_is_the_same_on_every_run_and_another_seed_gives_another(audited, tiny_folder, tmp_path):
    plan = _plan(tiny_folder, tmp_path, strategy=("vanilla",), seed=1)
    other = runner.measure(plan).results.findings
    mine = [f for f in other if f.condition.label == "sigma2=0.1" and f.metric == "rbo@20"]
    theirs = _rows(audited[2], condition="sigma2=0.1", metric="rbo@20", reference="clean")
    assert mine[0].drift != theirs[0].drift


def test_features_are_float32_and_audits_leave_them_alone(audited):
    tables = audited[1].prepared.tables
    assert all(table.dtype == torch.float32 for table in tables.values())
