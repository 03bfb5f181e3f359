"""Train once for each step of writing, be killed there, and take the run from the store; prints what each ended in.

    python tests/runs/kill_at_every_step.py DATA HOME

Run in a process of its own, which forks: each step is the last one of some child. Prints one JSON object a line: the
step, the names left in the store after the next use, and the numbers of the training.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from robustrec.config import Settings
from robustrec.datasets.registry import load_dataset
from robustrec.encoders.features import item_features
from robustrec.runs.plan import subject_specs
from robustrec.runs.prepared import prepare
from robustrec.runs.subjects import obtain_subject
from robustrec.training import trainer

SET = {"training": {"max_epochs": 2, "batch_size": 1000}, "vbpr": {"latent_width": 4}}
STEPS = ("fsync", "replace", "unlink", "mkdir", "rmdir")


def counted(function: Callable[..., Any], last: int, taken: list[int]) -> Callable[..., Any]:
    """Return the function as it is, but killing the process where the steps taken reach the last one."""

    def call(*arguments: Any, **options: Any) -> Any:
        taken[0] += 1
        if taken[0] == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)

    return call


def main() -> None:
    """Kill at every step, until a training ends before the step is reached."""
    data, home = sys.argv[1], Path(sys.argv[2])
    dataset = load_dataset(data, home=home)
    prepared = prepare(dataset, item_features(dataset, "imported", home=home), torch.device("cpu"))
    (spec,) = subject_specs(Settings(home=home, model=("vbpr",), strategy=("mirror",), set=SET), "full")
    trainer.Checkpointing.__init__.__defaults__ = (0.0, None)  # a state after each epoch
    obtain_subject(spec, prepared, home=home)  # what is imported late is imported now
    for step in range(1, 1000):
        shutil.rmtree(home / "runs")
        pid = os.fork()
        if pid == 0:
            taken = [0]
            for name in STEPS:
                setattr(os, name, counted(getattr(os, name), step, taken))
            obtain_subject(spec, prepared, home=home)
            os._exit(0)
        ended = os.WIFEXITED(os.waitpid(pid, 0)[1])
        subject = obtain_subject(spec, prepared, home=home)
        left = sorted(path.name for path in (home / "runs").iterdir())
        record = subject.record
        numbers = [record["parameters_digest"], record["losses"], record["metrics"], record["mirror"]]
        print(
            json.dumps(
                {"step": step, "key": subject.key, "left": left, "numbers": numbers, "resumed": record["resumed"]}
            )
        )
        if ended:
            break


if __name__ == "__main__":
    main()
