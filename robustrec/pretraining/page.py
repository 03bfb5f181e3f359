"""The model card for people: README.md of an encoder's folder, from its card.json."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from robustrec.errors import RobustrecError
from robustrec.files import write_atomically
from robustrec.untrusted import UnreadableError, read_json

CARD, PAGE = "card.json", "README.md"
KEY_METRICS = {
    "image_to_text_r@1": "its text found for a picture, R@1",
    "image_to_text_r@10": "R@10",
    "text_to_image_r@1": "its picture found for a text, R@1",
    "text_to_image_r@10": "R@10",
    "matching_accuracy_random": "matching, against random wrong texts",
    "matching_accuracy_hard": "matching, against the most similar wrong text",
    "caption_fits_own_picture": "caption likelier under its own picture than another's",
}


def read_card(folder: Path) -> dict[str, Any]:
    """Return the card of an encoder's folder.

    Raises:
        RobustrecError: there is none, or it is no card.
    """
    path = folder / CARD
    try:
        card = read_json(path)
    except UnreadableError as error:
        raise RobustrecError(
            f"no model card that can be read: {error}",
            where=str(path),
            fix="give a folder that robustrec encoder pretrain has written",
        ) from error
    if not isinstance(card, dict) or "held_out" not in card:
        raise RobustrecError("not a model card", where=str(path), fix="give a folder of robustrec encoder pretrain")
    return card


def write_card(folder: Path, card: Mapping[str, Any]) -> None:
    """Write card.json and the page that says the same to people."""
    write_atomically(folder / CARD, json.dumps(card, indent=1, allow_nan=False, ensure_ascii=False) + "\n")
    write_atomically(folder / PAGE, page_text(card))


def page_text(card: Mapping[str, Any]) -> str:
    """Return the page of a card."""
    shape, training, cost = card["shape"], card["training"], card["cost"]
    parts = [
        "# A BLIP for one's own goods",
        f"Made by `robustrec encoder pretrain`. {card['kind']}, as transformers saves and loads them: pictures of "
        f"{shape['image_size']} pixels in patches of {shape['patch_size']}, {shape['vision_layers']} and "
        f"{shape['text_layers']} layers of width {shape['vision_width']} and {shape['text_width']}, "
        f"{shape['vocabulary']} words and pieces, {shape['parameters_itm']:,} and {shape['parameters_caption']:,} "
        f"parameters, most of them the same in both.",
        "## What it learned from",
        _data(card),
        f"Began from {_start(card)}. {training['steps']:,} steps of {training['batch_size']} pairs, "
        f"seed {training['seed']}, {cost['seconds'] / 60:.1f} minutes on {cost['device']}, "
        f"{cost['threads']} CPU threads. Losses: "
        f"{training['losses']}. The first {training['prelude']:.0%} of the steps read captions only and skip matching.",
        "## What it can do on items it has not seen",
        "Shares with a 95% interval (Wilson); each item is searched among the held-out items of its own catalogue.",
        *(_table(name, entry) for name, entry in card["held_out"].items()),
        *_captions(card["examples"]),
        *(["## Does a recommender gain from it?", recommenders_text(card)] if card["recommenders"] else []),
        "## Limits",
        "\n".join(f"- {limit}" for limit in card["limits"]),
    ]
    return "\n\n".join(parts) + "\n"


def _start(card: Mapping[str, Any]) -> str:
    start = card["start"]
    return start if isinstance(start, str) else f"the weights of {start['weights']} (digest {start['digest'][:16]}…)"


def _data(card: Mapping[str, Any]) -> str:
    lines = []
    for source in card["data"]:
        kind = "SYNTHETIC, made by robustrec" if source["synthetic"] else "a real catalogue"
        what = f"; {source['what']}" if "what" in source else ""
        lines.append(
            f"- **{source['name']}** ({kind}): {source['trained_on']:,} items learned from, "
            f"{source['held_out']:,} held out{what}. Digest {source['digest'][:16]}…"
        )
    return "\n".join(lines)


def _table(name: str, entry: Mapping[str, Any]) -> str:
    views = entry["views"]
    metrics = list(dict.fromkeys(metric for shares in views.values() for metric in shares))
    head = ["", *(f"{view}" for view in views), "chance"]
    lines = [f"**{name}**, {entry['pool']} candidates", "", _row(head), _row(["---"] * len(head))]
    for metric in metrics:
        shares = [found.get(metric) for found in views.values()]
        label = KEY_METRICS.get(metric, f"caption names the {metric.removeprefix('caption_')}")
        chance = next(found["chance"] for found in shares if found)
        lines.append(_row([label, *(_share(found) for found in shares), f"{chance:.3f}"]))
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _share(found: Mapping[str, float] | None) -> str:
    return "" if found is None else f"{found['value']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"


def _captions(examples: Sequence[Mapping[str, Any]]) -> list[str]:
    if not examples:
        return []
    lines = [_row(["item", "should say", "says", "wrong"]), _row(["---"] * 4)]
    for example in examples:
        wrong = ", ".join(example["wrong"])
        lines.append(_row([f"{example['source']} {example['item']}", example["expected"], example["written"], wrong]))
    return ["## Captions it writes for pictures it has not seen, mistakes included", "\n".join(lines)]


def recommenders_text(card: Mapping[str, Any]) -> str:
    """Return what the card says of recommenders trained on the encoder's features."""
    found = card["recommenders"]
    lines = [_row(["data set", "model", "metric", "basic", "this encoder", "difference"]), _row(["---"] * 6)]
    for row in found["rows"]:
        difference = f"{row['difference']:+.4f} [{row['low']:+.4f}, {row['high']:+.4f}]"
        lines.append(
            _row([row["dataset"], row["model"], row["metric"], f"{row['basic']:.4f}", f"{row['blip']:.4f}", difference])
        )
    return str(found["verdict"]) + "\n\n" + "\n".join(lines)
