"""`robustrec list`: what there is to choose from."""

from __future__ import annotations

import typer
from rich.table import Table
from rich.text import Text

from robustrec.cli import options
from robustrec.cli.terminal import data_console

app = typer.Typer(no_args_is_help=True)

METRICS = {
    "recall@k": "share of a user's relevant items that are among the first k",
    "precision@k": "share of the first k items that are relevant",
    "ndcg@k": "discounted gain of the first k, as a share of a perfect list's",
    "map@k": "mean precision at the hits among the first k, over min(k, relevant items)",
    "overlap@k": "share of the first k items that two lists have in common",
    "rbo@k": "rank-biased overlap of the first k items of two lists, p = 0.9; 1 for equal lists",
    "changed@k": "share of users whose set of the first k items changed",
}


def _show(kind: str, rows: list[tuple[str, str]], *, as_json: bool) -> None:
    console = data_console()
    if as_json:
        console.print_json(data=[{"name": name, "what": what} for name, what in rows])
        return
    table = Table(kind, "what it is", box=None)
    for name, what in rows:
        table.add_row(name, Text(what))
    console.print(table)


@app.command()
def models(as_json: options.AsJson = False) -> None:
    """List the recommenders."""
    from robustrec.models import MODELS, model_class

    _show("model", [(name, _first_line(model_class(name).__doc__)) for name in MODELS], as_json=as_json)


@app.command()
def strategies(as_json: options.AsJson = False) -> None:
    """List the training strategies, with their passes for each step."""
    from robustrec.training.strategy_config import STRATEGY_NAMES, StrategyConfig

    rows = []
    for name in STRATEGY_NAMES:
        config = StrategyConfig.model_validate({"name": name})
        moves = [word for word, on in zip(("probes uphill", "mirrored steps"), config.moves, strict=True) if on]
        rows.append((name, f"{' and '.join(moves) or 'plain descent'}; {config.passes_per_step:.2f} passes a step"))
    _show("strategy", rows, as_json=as_json)


@app.command()
def encoders(as_json: options.AsJson = False) -> None:
    """List the encoders of item features."""
    from importlib import import_module

    from robustrec.encoders import ENCODERS

    rows = [(name, _first_line(import_module(place.partition(":")[0]).__doc__)) for name, place in ENCODERS.items()]
    _show("encoder", rows, as_json=as_json)


@app.command()
def audits(as_json: options.AsJson = False) -> None:
    """List the kinds of audit."""
    from robustrec.audits.suites import AUDIT_KINDS

    _show("audit", [(name, _first_line(kind.__doc__)) for name, kind in AUDIT_KINDS.items()], as_json=as_json)


@app.command()
def suites(as_json: options.AsJson = False) -> None:
    """List the shipped suites."""
    from robustrec.audits.suites import load_suite, suite_names

    _show("suite", [(name, load_suite(name).description) for name in suite_names()], as_json=as_json)


@app.command()
def metrics(as_json: options.AsJson = False) -> None:
    """List the metrics; each takes a list length, as in ndcg@20."""
    _show("metric", list(METRICS.items()), as_json=as_json)


def _first_line(docstring: str | None) -> str:
    return (docstring or "").strip().partition("\n")[0]
