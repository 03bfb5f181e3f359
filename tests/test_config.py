"""Settings: precedence, sources, overrides, and the errors of wrong ones."""

import pytest

from robustrec.cli.main import run
from robustrec.config import Settings, parse_overrides, resolve
from robustrec.errors import RobustrecError
from robustrec.runs.plan import subject_specs


def test_the_command_line_beats_the_environment_beats_the_file_beats_the_default(tmp_path):
    (tmp_path / "robustrec.toml").write_text('dataset = "a"\nseed = 1\nsuite = "paper"\n')
    environment = {"ROBUSTREC_DATASET": "b", "ROBUSTREC_SEED": "2"}
    given = resolve({"dataset": "c", "model": None}, environment=environment, folder=tmp_path)
    assert (given.settings.dataset, given.settings.seed, given.settings.suite) == ("c", 2, "paper")
    assert given.settings.model == ("slmrec",)
    assert given.sources["dataset"] == "--dataset"
    assert given.sources["seed"] == "environment ROBUSTREC_SEED"
    assert "robustrec.toml" in given.sources["suite"]


def test_the_nearest_pyproject_with_a_table_wins_over_robustrec_toml(tmp_path):
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text("[tool.robustrec]\nseed = 3\n")
    (tmp_path / "a" / "pyproject.toml").write_text("[tool.other]\nx = 1\n")
    (deep / "robustrec.toml").write_text("seed = 4\n")
    assert resolve({}, environment={}, folder=deep).settings.seed == 3


def test_overrides_merge_key_by_key_over_the_sources(tmp_path):
    (tmp_path / "robustrec.toml").write_text("[set.training]\nmax_epochs = 5\nlearning_rate = 0.5\n")
    given = resolve(
        {"set": ["training.max_epochs=7", "strategy.reading=sgd"]},
        environment={"ROBUSTREC_SET": "strategy.rho=0.2"},
        folder=tmp_path,
    )
    assert given.settings.set == {
        "training": {"max_epochs": 7, "learning_rate": 0.5},
        "strategy": {"rho": 0.2, "reading": "sgd"},
    }


@pytest.mark.parametrize(
    ("text", "environment"),
    [
        ("sede = 1\n", {}),
        ("", {"ROBUSTREC_SEDE": "1"}),
        ("seed = -1\n", {}),
        ("seed = [\n", {}),
        ("set = {a = 1}\n", {}),
    ],
)
def test_wrong_settings_name_their_source(text, environment, tmp_path):
    (tmp_path / "robustrec.toml").write_text(text)
    with pytest.raises(RobustrecError) as error:
        resolve({}, environment=environment, folder=tmp_path)
    assert "robustrec.toml" in error.value.where or "ROBUSTREC_SEDE" in error.value.where


def test_override_values_are_read_as_json_where_they_are():
    parsed = parse_overrides(["a.x=1e-3", "a.y=true", "a.z=text", "a.w=null"], "--set")
    assert parsed == {"a": {"x": 1e-3, "y": True, "z": "text", "w": None}}


def test_subjects_are_models_by_strategies_by_seeds_with_their_own_defaults():
    settings = Settings(model=("bpr", "slmrec"), strategy=("vanilla", "sgbd"), seeds=2, seed=5)
    specs = subject_specs(settings, "full")
    assert [(s.model, s.strategy.name, s.seed) for s in specs][:3] == [
        ("bpr", "vanilla", 5),
        ("bpr", "vanilla", 6),
        ("bpr", "sgbd", 5),
    ]
    assert len(specs) == 8
    assert {s.training.weight_decay for s in specs if s.model == "slmrec"} == {1e-4}
    assert specs[0].training.batch_size == 2048 != subject_specs(settings, "sample")[0].training.batch_size


@pytest.mark.parametrize("section", ["training", "strategy", "vbpr"])
def test_a_bad_override_points_to_a_command_that_works(section, capsys):
    key = {"training": "batch_size", "strategy": "beta", "vbpr": "latent_width"}[section]
    settings = Settings(model=("vbpr",), set={section: {key: 0}})
    with pytest.raises(RobustrecError, match=f"{section}.{key} = 0") as error:
        subject_specs(settings, "full")
    command = error.value.fix.partition("robustrec ")[2].split()
    assert run([*command, "--json"]) == 0
    assert key in capsys.readouterr().out


def test_a_data_set_may_have_defaults_of_its_own(tmp_path):
    settings = Settings(home=tmp_path, model=("dragon",), strategy=("vanilla",), dataset="../somewhere/clothing")
    plain, own = subject_specs(settings, "full")[0], subject_specs(settings, "full", "clothing")[0]
    assert plain.model_options["reg_weight"] == 1e-3
    assert own.model_options == {**plain.model_options, "reg_weight": 1e-1}, "as published (spec 4.2)"
    sample = subject_specs(settings, "sample", "clothing")[0]
    assert sample.model_options["reg_weight"] == plain.model_options["reg_weight"]
    named = settings.model_copy(update={"set": {"dragon": {"reg_weight": 0.5}}})
    assert subject_specs(named, "full", "clothing")[0].model_options["reg_weight"] == 0.5


def test_relative_paths_of_a_settings_file_are_relative_to_its_folder(tmp_path):
    deep = tmp_path / "jobs"
    deep.mkdir()
    (tmp_path / "weights").mkdir()
    (tmp_path / "robustrec.toml").write_text(
        'suite = "gates.toml"\nhome = ".robustrec"\nvocabulary = ["de.toml"]\ndataset = "shop"\n'
        'weights = ["blip=./weights", "hub/name"]\ncheckpoint = "4d3f6da6"\n'
    )
    below, here = (resolve({}, environment={}, folder=folder).settings for folder in (deep, tmp_path))
    assert (below.suite, below.home) == (str(tmp_path / "gates.toml"), tmp_path / ".robustrec")
    assert below.vocabulary == (str(tmp_path / "de.toml"),)
    assert (below.dataset, below.checkpoint) == ("shop", "4d3f6da6"), "names stay names"
    assert below.weights == (f"blip={tmp_path / 'weights'}", "hub/name")
    assert (here.suite, here.weights[0]) == ("gates.toml", "blip=./weights"), "as the command line would have them"
    assert resolve({"suite": "x.toml"}, environment={}, folder=deep).settings.suite == "x.toml"


def test_an_error_about_an_option_names_the_file_that_sets_it(tmp_path, monkeypatch, capsys):
    (tmp_path / "robustrec.toml").write_text('suite = "missing.toml"\n')
    monkeypatch.chdir(tmp_path)
    assert run(["audit", "--dry-run", "--home", str(tmp_path)]) == 2
    assert f"where: --suite (--suite is set by {tmp_path / 'robustrec.toml'}, suite)" in capsys.readouterr().err
    assert run(["audit", "--dry-run", "--home", str(tmp_path), "--suite", "other.toml"]) == 2
    assert "where: --suite\n" in capsys.readouterr().err
