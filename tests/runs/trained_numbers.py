"""Statistics of tiny trainings, one per model and strategy, which change when trained parameters do.

    python tests/runs/trained_numbers.py

writes them to trained_numbers.json beside this file, with the numbers of `robustrec.runs.formats` that they go with.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from robustrec.datasets.registry import load_dataset
from robustrec.encoders.features import item_features
from robustrec.evaluation.metrics import per_user_metrics
from robustrec.evaluation.ranking import rank
from robustrec.modalities import read_of
from robustrec.models import MODELS, model_class
from robustrec.models.contract import Problem, Representation, item_graphs
from robustrec.runs.formats import TRAINED_BY
from robustrec.runs.prepared import prepare
from robustrec.runs.specs import SubjectSpec
from robustrec.runs.subjects import obtain_subject
from robustrec.seeds import torch_generator
from robustrec.training.config import TrainingConfig
from robustrec.training.sampling import Positives, batches_of, positives_of, sample_epoch
from robustrec.training.strategy_config import STRATEGY_NAMES, StrategyConfig
from robustrec.training.trainer import Counters, train

FILE = Path(__file__).with_suffix(".json")
N_USERS, N_ITEMS = 24, 18
WIDTHS = {"image": 7, "text": 5}
LOOP: dict[str, Any] = {
    "learning_rate": 0.02,
    "batch_size": 40,
    "max_epochs": 2,
    "decay_rate": 0.5,
    "decay_epochs": 1,
    "weight_decay": 1e-3,
}

# Settings that as few items need.
SMALL: dict[str, dict[str, Any]] = {"da-mrs": {"pseudo_positives": 4, "item_neighbours": 5}}

# Of the largest statistic. Vector units of other widths differ by 4e-5 at most, planted changes by far more.
TOLERANCE = 3e-4

Statistics = dict[str, list[float]]


def problem() -> Problem:
    """Return 24 users with five of 18 items each, chosen by a formula."""
    pairs = sorted(
        {(user, (3 * user + place * place + place) % N_ITEMS) for user in range(N_USERS) for place in range(6)}
    )
    return Problem(N_USERS, N_ITEMS, torch.tensor(pairs).T.contiguous(), WIDTHS)


def features() -> dict[str, Tensor]:
    """Return tables given by a formula, without ties between neighbours."""
    return {
        name: torch.sin(torch.arange(1.0, 1 + N_ITEMS * width).reshape(N_ITEMS, width) ** 1.5 + width)
        for name, width in WIDTHS.items()
    }


def statistics(values: dict[str, Tensor]) -> Statistics:
    """Return, for each tensor, its length and its products with two fixed vectors, all in float64."""
    found = {}
    for name, value in values.items():
        flat = value.detach().double().flatten()
        places = torch.arange(1, 1 + len(flat), dtype=torch.float64)
        products = [float(flat @ torch.cos(factor * places)) for factor in (1.0, 2.3)]
        found[name] = [float(flat.norm()), *products]
    return found


def built(name: str, **options: Any) -> tuple[Any, dict[str, Tensor]]:
    """Return a model eight numbers wide, and the tables it reads."""
    kind = model_class(name)
    options = {**SMALL.get(name, {}), **options}
    model = kind(problem(), kind.Config(latent_width=8, **options), torch_generator(1, "parameters"))
    return model, {key: features()[key] for key in read_of(kind.modalities, features())}


def of_sampling() -> Statistics:
    """Return one epoch's triples."""
    drawn = sample_epoch(_positives(), torch_generator(2, "triples"))
    (batch,) = batches_of(drawn, 1000)
    return statistics({"users": batch.users, "positives": batch.positives, "negatives": batch.negatives})


def of_model(name: str) -> Statistics:
    """Return a model's initial parameters, its vectors, its loss and the loss's gradient."""
    found: Statistics = {}
    variants = [{}, {"mmrec_compat": True}] if "mmrec_compat" in model_class(name).Config.model_fields else [{}]
    for options in variants:
        model, tables = built(name, **options)
        label = "compat " if options else ""
        users, items = model.represent(tables)
        (batch,) = batches_of(sample_epoch(_positives(), torch_generator(2, "triples")), 1000)
        loss = model.loss(tables, batch._replace(seed=5))
        loss.total.backward()
        gradients = [parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None]
        values = {"users": users, "items": items, "loss": loss.total, "gradient": torch.cat(gradients)}
        found |= {label + key: value for key, value in statistics(dict(model.state_dict()) | values).items()}
    return found


def of_training(name: str, strategy: dict[str, Any], loop: dict[str, Any], metrics: list[float]) -> Statistics:
    """Return the parameters that a training selects and its losses; `metrics` are what its validations find."""
    model, tables = built(name)
    given = iter(metrics)
    outcome = train(
        model,
        tables,
        _positives(),
        lambda: next(given),
        config=TrainingConfig(**{**LOOP, **loop}),
        strategy_config=StrategyConfig(**strategy),
        seed=3,
        graphs=item_graphs(model, tables),
    )
    return statistics(dict(model.state_dict())) | _of_counters(outcome.counters)


def of_evaluation() -> Statistics:
    """Return metrics of scores that are whole numbers, ties among them."""
    users = torch.arange(N_USERS * 4.0).reshape(N_USERS, 4) % 7
    items = torch.arange(N_ITEMS * 4.0).reshape(N_ITEMS, 4) % 5
    edges = problem().edges.numpy()
    seen = csr_array((np.ones(edges.shape[1]), (edges[0], edges[1])), shape=(N_USERS, N_ITEMS))
    relevant = csr_array(np.roll(seen.toarray(), 5, axis=1) * (1 - seen.toarray()))
    ranking = rank(Representation(users, items), np.arange(N_USERS), seen, k=5)
    names = ["ndcg@5", "recall@5", "ndcg@2", "recall@2"]
    found = per_user_metrics(ranking, relevant, names)
    return statistics({name: torch.from_numpy(found[name]) for name in names})


def of_run() -> Statistics:
    """Return the parameters of a run from a folder of data to the store."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "tiny"
        folder.mkdir()
        rows = ["userID\titemID\trating\ttimestamp\tx_label"]
        last = -1
        for user, item in problem().edges.T.tolist():
            rows.append(f"{user}\t{item}\t5.0\t0\t{1 if user != last else 0}")
            last = user
            if rows[-1].endswith("\t1"):
                rows.append(f"{user}\t{(item + 7) % N_ITEMS}\t5.0\t1\t2")
        (folder / "tiny.inter").write_text("\n".join(dict.fromkeys(rows)) + "\n")
        for name, table in features().items():
            np.save(folder / f"{name}_feat.npy", table.numpy())
        dataset = load_dataset(str(folder), home=Path(place))
        prepared = prepare(dataset, item_features(dataset, "imported", home=Path(place)), torch.device("cpu"))
        loop = TrainingConfig(**{**LOOP, "max_epochs": 4, "evaluate_every": 2, "validation_metric": "recall@5"})
        spec = SubjectSpec("slmrec", {"latent_width": 8}, loop, StrategyConfig(name="sgbd"), seed=4)
        subject = obtain_subject(spec, prepared, home=Path(place))
        assert subject.model is not None
        found = statistics(dict(subject.model.module().state_dict()))
        return found | {"metrics": [float(each) for each in subject.record["metrics"]]}


def _positives() -> Positives:
    return positives_of(problem().edges, N_ITEMS, torch.device("cpu"))


def _of_counters(counters: Counters) -> Statistics:
    return {"losses": counters.losses, "ends": [float(counters.epoch), float(counters.best_epoch)]}


RISING = [0.1, 0.2]
UP_AND_DOWN = [0.1, 0.3, 0.2, 0.3, 0.9]
SPECIAL: dict[str, tuple[dict[str, Any], dict[str, Any], list[float]]] = {
    # One step: where moments are small it divides by next to nothing, and rounding grows.
    "preconditioned": ({"name": "sgbd", "reading": "preconditioned"}, {"max_epochs": 1, "batch_size": 200}, RISING),
    "plain steps": ({"name": "sgbd", "reading": "sgd", "alpha1": 0.8, "beta": 2}, {}, RISING),
    "count per epoch": ({"name": "mirror", "counter": "per_epoch", "beta": 4}, {}, RISING),
    "clipped, adamw": ({"name": "sam"}, {"clip_norm": 0.01, "optimizer": "adamw"}, RISING),
    "sgd": ({"name": "sgbd"}, {"optimizer": "sgd", "learning_rate": 0.5}, RISING),
    "stopped early": ({"name": "vanilla"}, {"max_epochs": 9, "patience": 2}, UP_AND_DOWN),
    "every other epoch": ({"name": "vanilla"}, {"max_epochs": 5, "evaluate_every": 2}, [0.2, 0.1, 0.3]),
}


def cases() -> dict[str, dict[str, Callable[[], Statistics]]]:
    """Return every case by the number that stands for it, the first parts of a training first."""
    trainings: dict[str, Callable[[], Statistics]] = {
        f"{model}, {strategy}": lambda model=model, strategy=strategy: of_training(
            model, {"name": strategy}, {}, RISING
        )
        for model in MODELS
        for strategy in STRATEGY_NAMES
    }
    for name, (strategy, loop, metrics) in SPECIAL.items():
        trainings[f"vbpr, {name}"] = lambda s=strategy, o=loop, m=metrics: of_training("vbpr", s, o, m)
    trainings["freedom, probe without tables"] = lambda: of_training(
        "freedom", {"name": "sam", "probe_features": False}, {}, RISING
    )
    return {
        "models": {name: lambda name=name: of_model(name) for name in MODELS},
        "evaluation": {"metrics of whole scores": of_evaluation},
        "training": {"triples of an epoch": of_sampling, **trainings},
        "runs": {"slmrec from folder to store": of_run},
    }


def found_now(parts: dict[str, dict[str, Callable[[], Statistics]]]) -> dict[str, dict[str, Statistics]]:
    """Return the statistics of cases."""
    return {part: {name: case() for name, case in each.items()} for part, each in parts.items()}


def changed(stored: dict[str, Any], found: dict[str, dict[str, Statistics]]) -> dict[str, list[str]]:
    """Return the cases that changed, by the number to raise for them.

    A training follows its model, and a run follows all: where those changed, what follows names no further number.
    """
    differing = {
        part: [name for name, case in each.items() if not _alike(stored[part].get(name), case)]
        for part, each in found.items()
    }
    models = differing.get("models", [])
    differing["training"] = [name for name in differing.get("training", []) if name.split(",")[0] not in models]
    if any(names for part, names in differing.items() if part != "runs"):
        differing["runs"] = []
    return {part: names for part, names in differing.items() if names}


def _alike(stored: Statistics | None, found: Statistics) -> bool:
    """Tell whether statistics agree as far as processors do: sums of float32 come in their own order on each kind."""
    if stored is None or stored.keys() != found.keys():
        return False
    return all(
        len(stored[key]) == len(values) and np.allclose(stored[key], values, rtol=0, atol=TOLERANCE * _scale(values))
        for key, values in found.items()
    )


def _scale(values: list[float]) -> float:
    return max(map(abs, values), default=0.0) or 1.0


def main() -> None:
    """Compute all cases and write the file."""
    parts = [
        f" {json.dumps(part)}: {{\n"
        + ",\n".join(f"  {json.dumps(name)}: {_line(case)}" for name, case in each.items())
        + "\n }"
        for part, each in found_now(cases()).items()
    ]
    head = [f' "trained_by": {json.dumps(TRAINED_BY)}', f' "torch": {json.dumps(torch.__version__)}']
    FILE.write_text("{\n" + ",\n".join(head + parts) + "\n}\n")


def _line(case: Statistics) -> str:
    return json.dumps({key: [float(f"{value:.7g}") for value in values] for key, values in case.items()})


if __name__ == "__main__":
    main()
