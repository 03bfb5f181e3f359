"""MMRec's own classes, loaded from a checkout of github.com/enoche/MMRec and run unchanged.

Nothing of MMRec is copied here: configuration, data loaders, models, optimizer, training steps and metrics are the
checkout's. `load` gives imports that no longer exist, or that this machine lacks, a stand-in; it changes modules of the
process, which must therefore be one of its own.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import logging
import os
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from benchmarks.workload import Workload
from robustrec.datasets.interactions import TEST, TRAIN, VALIDATION
from robustrec.errors import RobustrecError
from robustrec.models.graphs import UserGraph

CLASSES = {
    "slmrec": "SLMRec",
    "dualgnn": "DualGNN",
    "dragon": "DRAGON",
    "bpr": "BPR",
    "lightgcn": "LightGCN",
    "vbpr": "VBPR",
    "freedom": "FREEDOM",
    "bm3": "BM3",
    "mgcn": "MGCN",
    "smore": "SMORE",
    "lgmrec": "LGMRec",
    "grcn": "GRCN",
    "mmgcn": "MMGCN",
    "lattice": "LATTICE",
    "pgl": "PGL",
    "da-mrs": "DAMRS",
}
"""Our name of a model -> MMRec's."""

SETTINGS: dict[str, dict[str, str]] = {
    "slmrec": {"layers": "layer_num", "temperature": "temp", "ssl_temp": "ssl_temp", "ssl_alpha": "ssl_alpha"},
    "dualgnn": {"reg_weight": "reg_weight"},
    "dragon": {
        "item_neighbours": "knn_k",
        "item_layers": "n_mm_layers",
        "image_weight": "mm_image_weight",
        "reg_weight": "reg_weight",
    },
    "bpr": {"reg_weight": "reg_weight"},
    "lightgcn": {"layers": "n_layers", "reg_weight": "reg_weight"},
    "vbpr": {"reg_weight": "reg_weight"},
    "freedom": {
        "layers": "n_ui_layers",
        "item_neighbours": "knn_k",
        "item_layers": "n_mm_layers",
        "image_weight": "mm_image_weight",
        "pruning": "dropout",
        "reg_weight": "reg_weight",
    },
    "bm3": {"layers": "n_layers", "dropout": "dropout", "reg_weight": "reg_weight", "feature_weight": "cl_weight"},
    "mgcn": {
        "layers": "n_ui_layers",
        "item_neighbours": "knn_k",
        "item_layers": "n_layers",
        "contrast_weight": "cl_loss",
        "reg_weight": "reg_weight",
    },
    "smore": {
        "layers": "n_ui_layers",
        "image_neighbours": "image_knn_k",
        "text_neighbours": "text_knn_k",
        "item_layers": "n_layers",
        "dropout": "dropout_rate",
        "contrast_weight": "cl_loss",
        "reg_weight": "reg_weight",
    },
    "lgmrec": {
        "ui_layers": "n_ui_layers",
        "mm_layers": "n_mm_layers",
        "hyper_layers": "n_hyper_layer",
        "hyperedges": "hyper_num",
        "keep_rate": "keep_rate",
        "alpha": "alpha",
        "cl_weight": "cl_weight",
        "reg_weight": "reg_weight",
    },
    "grcn": {"routings": "n_layers", "reg_weight": "reg_weight"},
    "mmgcn": {"layers": "n_layers", "reg_weight": "reg_weight"},
    "lattice": {
        "item_neighbours": "knn_k",
        "item_layers": "n_layers",
        "frozen_share": "lambda_coeff",
        "reg_weight": "reg_weight",
    },
    "pgl": {
        "mode": "mode",
        "layers": "n_ui_layers",
        "item_neighbours": "knn_k",
        "item_layers": "n_mm_layers",
        "image_weight": "mm_image_weight",
        "dropout": "dropout",
        "contrast_weight": "reg_weight",
    },
    "da-mrs": {
        "layers": "n_ui_layers",
        "item_neighbours": "knn_k",
        "item_layers": "n_mm_layers",
        "neighbour_weight": "neighbor_weight",
        "alignment_weight": "kl_weight",
    },
}
"""Our name of a model -> (our setting -> MMRec's). MMRec fixes the others in its code to the same values."""

WIDTHS = ("embedding_size", "feat_embed_dim", "latent_embedding", "recdim")
FIXED = {"dualgnn": {"aggr_mode": "add"}, "dragon": {"aggr_mode": "add"}}

# Imported by MMRec, and used by no code that this benchmark runs, except torch_scatter.
OPTIONAL = ("torch_scatter", "sklearn", "lmdb", "torchvision", "PIL", "matplotlib", "sparsesvd", "tqdm")
DATASET = "baby"  # the name of a configuration of MMRec; the data are the benchmark's
FEATURE_FILES = {"image": "image_feat.npy", "text": "text_feat.npy"}


class MMRec:
    """A model of MMRec with its data loaders and its trainer.

    Args:
        name: our name of the model.
        checkout: folder of the MMRec checkout; `load` must have been called for it.
        data: folder with the subfolder that `write_data` wrote; MMRec keeps its item graphs there.
        options: settings of our model and of our training, from `defaults.toml`, with MMRec's where they have one.
        device: where to train.
    """

    def __init__(self, name: str, checkout: Path, data: Path, options: dict[str, Any], device: torch.device) -> None:
        module = importlib.import_module
        self.device = device
        with _inside(checkout / "src"):
            config = module("utils.configurator").Config(CLASSES[name], DATASET, _config(name, data, options, device))
            config["device"] = device
            dataset = module("utils.dataset").RecDataset(config)
            str(dataset)  # MMRec counts its interactions when it prints them
            train, _, test = dataset.split()
            str(train), str(test)
            loaders = module("utils.dataloader")
            module("utils.utils").init_seed(0)
            self.train_data = loaders.TrainDataLoader(
                config, train, batch_size=config["train_batch_size"], shuffle=True
            )
            self.test_data = loaders.EvalDataLoader(
                config, test, additional_dataset=train, batch_size=config["eval_batch_size"]
            )
            self.train_data.pretrain_setup()
            self.model = module("utils.utils").get_model(CLASSES[name])(config, self.train_data).to(device)
            # DualGNN, DRAGON and others assign vectors to what `.to` leaves a parameter on a CPU, but not on a GPU.
            cached = self.model._parameters.pop("result_embed", None)
            if cached is not None:
                self.model.result_embed = cached.detach()
            self.trainer = module("common.trainer").Trainer(config, self.model)
        self._batches: Iterator[Any] = iter(())
        self._epoch = 0

    def begin(self) -> None:
        """Begin an epoch, as `Trainer.fit` does, and take its first step."""
        self.train_data.pr = 0
        self.model.pre_epoch_processing()
        self._batches = _each(self.train_data)
        self._epoch += 1
        self.steps(1)

    def steps(self, count: int) -> None:
        """Take further steps of the epoch."""
        self.trainer._train_epoch(islice(self._batches, count), self._epoch)

    def evaluate(self) -> dict[str, float]:
        """Rank all items for the test users and return the metrics, as MMRec does after each epoch."""
        with torch.no_grad():
            return cast(dict[str, float], self.trainer.evaluate(self.test_data))

    def refresh(self) -> None:
        """Compute the vectors that some models keep from their last training step with the current parameters."""
        with torch.no_grad():
            self.model.calculate_loss(next(_each(self.train_data)).clone())
        self.train_data.pr = 0

    def state(self) -> dict[str, Tensor]:
        """Return the parameters by MMRec's names, on the CPU."""
        return {name: value.detach().cpu() for name, value in self.model.state_dict().items()}


def _each(loader: Any) -> Iterator[Any]:
    yield from loader


def _config(name: str, data: Path, options: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """Return what replaces the lists of candidates in MMRec's files: the settings of our defaults."""
    ours = {theirs: options[setting] for setting, theirs in SETTINGS[name].items()}
    training = {
        "learning_rate": options["learning_rate"],
        "weight_decay": options["weight_decay"],
        "train_batch_size": options["batch_size"],
        "learning_rate_scheduler": [options["decay_rate"], options["decay_epochs"]],
    }
    return {
        **dict.fromkeys(WIDTHS, options["latent_width"]),
        **FIXED.get(name, {}),
        **ours,
        **training,
        "data_path": f"{data}{os.sep}",
        "save_recommended_topk": False,
        "use_gpu": device.type == "cuda",
        "gpu_id": os.environ.get("CUDA_VISIBLE_DEVICES", str(device.index or 0)),
        "seed": 0,
    }


def write_data(work: Workload, graph: UserGraph, folder: Path) -> None:
    """Write the workload in MMRec's layout into the subfolder that its configuration names.

    Args:
        work: interactions and features.
        graph: user graph, which DualGNN and DRAGON of MMRec read from a file.
        folder: existing empty folder.
    """
    inner = folder / DATASET
    inner.mkdir()
    columns = []
    for label in (TRAIN, VALIDATION, TEST):
        users, items = work.interactions.pairs(label)
        columns.append(np.stack([users, items, np.full(len(users), label)], axis=1))
    np.savetxt(
        inner / f"{DATASET}.inter",
        np.concatenate(columns),
        fmt="%d",
        delimiter="\t",
        header="userID\titemID\tx_label",
        comments="",
    )
    for modality, table in work.features.items():
        np.save(inner / FEATURE_FILES[modality], table.numpy())
    lists = {}
    for user in range(work.size.n_users):
        part = slice(graph.starts[user], graph.starts[user + 1])
        lists[user] = [graph.neighbours[part].tolist(), graph.counts[part].astype(np.float64).tolist()]
    np.save(inner / "user_graph_dict.npy", np.array(lists, dtype=object), allow_pickle=True)


def load(checkout: Path, device: torch.device) -> None:
    """Make the modules of an MMRec checkout importable in this process, with stand-ins.

    Raises:
        RobustrecError: the folder is not a checkout of MMRec.
    """
    sources = checkout / "src"
    if not (sources / "common" / "abstract_recommender.py").is_file():
        raise RobustrecError(
            f"{checkout} is not a checkout of MMRec: src/common/abstract_recommender.py not found",
            where="--mmrec",
            fix="git clone https://github.com/enoche/MMRec and give its folder",
        )
    sys.path.insert(0, str(sources.resolve()))
    missing = {name for name in OPTIONAL if find_spec(name) is None}
    sys.meta_path.append(_StandIns(missing))
    if not hasattr(np, "float"):
        setattr(np, "float", float)  # noqa: B010 - removed in numpy 1.24
    if not hasattr(sparse.dok_matrix, "_update"):
        setattr(sparse.dok_matrix, "_update", _update)  # noqa: B010 - removed in scipy 1.13
    if device.type == "cpu":  # MGCN, LATTICE and GRCN ask for a GPU by name
        Tensor.cuda = lambda self, *_, **__: self  # type: ignore[method-assign]
    logging.getLogger().setLevel(logging.ERROR)
    random.seed(0)


def commit_of(checkout: Path) -> str:
    """Return the commit of a checkout, or "unknown"."""
    command = ["git", "-C", str(checkout), "rev-parse", "--short", "HEAD"]
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    """Run a block in a folder: MMRec reads its configuration from the working directory."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


class _Absent(ModuleType):
    """A module in which every name exists and cannot be called."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if self.__name__ == "torch_scatter" and name == "scatter_add":
            return _scatter_add

        def absent(*_: object, **__: object) -> None:
            raise RuntimeError(f"{self.__name__}.{name} is not installed")

        return absent


class _StandIns(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds an `_Absent` for each of the given packages and for the modules in them."""

    def __init__(self, names: set[str]) -> None:
        self.names = names

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None,  # noqa: ARG002
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> importlib.machinery.ModuleSpec | None:
        if name.split(".", maxsplit=1)[0] not in self.names:
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return _Absent(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


def _update(matrix: Any, values: dict[tuple[int, int], float]) -> None:
    """Set entries of a dok_matrix without checks."""
    matrix._dict.update(values)


def _scatter_add(source: Tensor, index: Tensor, dim: int, dim_size: int) -> Tensor:
    """Return the sums of one-dimensional values by index, as torch_scatter does."""
    shape = list(source.shape)
    shape[dim] = dim_size
    return source.new_zeros(shape).index_add_(dim, index, source)
