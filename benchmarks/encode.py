"""Items a second of the encoder `blip` against plain loops over transformers, and what an edit of some items costs.

The structure of BLIP with random weights, JPEG files of 500 x 500 pixels and texts of 4 to 50 words. All ways take
turns over the same items, each from the file on the disk to the vector in memory:

    one by one    transformers' processor and model, an item at a time
    in batches    the same with the batch size of the encoder, in the order of the catalogue
    encoder       robustrec: texts sorted by length, pictures decoded ahead in threads, fused attention
    edited        `edited_tables` for 10 % of the items, the others from the store, as a share of the encoder's time

`python -m benchmarks.encode --size base --device cuda` is the base BLIP at 384 pixels in bfloat16.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from robustrec.datasets.catalog import Catalog
from robustrec.datasets.interactions import Interactions
from robustrec.datasets.pictures import PictureSource
from robustrec.datasets.registry import Dataset
from robustrec.encoders.features import edited_tables, item_features
from robustrec.encoders.frozen import FrozenEncoder
from robustrec.encoders.networks import placement_of
from robustrec.encoders.options import EncoderOptions
from robustrec.encoders.rows import RowContent
from robustrec.encoders.weights import quiet
from robustrec.files import write_atomically
from robustrec.hardware import cpu_name, describe_environment, pick_device, set_numerics

WORDS = 30_522
SEED = 20260
EDITED = 0.1
WAYS = ("one by one", "in batches", "encoder", "edited")


class Size(NamedTuple):
    """A BLIP's structure: width, layers and heads of both towers, side of pictures and patches in pixels."""

    width: int
    layers: int
    heads: int
    side: int
    patch: int


SIZES = {"small": Size(192, 4, 12, 96, 16), "base": Size(768, 12, 12, 384, 16)}


def main(arguments: list[str] | None = None) -> None:
    """Measure, print the table and write the results."""
    given = parse(arguments)
    set_numerics(given.threads)
    device = pick_device(given.device)
    options = EncoderOptions(device=str(device), precision=given.precision, batch_size=given.batch_size, offline=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        print("making weights and pictures …", file=sys.stderr, flush=True)
        save_model(SIZES[given.size], folder / "model")
        dataset = make_dataset(given.items, folder / "pictures")
        options = options.model_copy(update={"weights": (str(folder / "model"),)})
        result = measure(dataset, options, folder, given.rounds)
    settings = {
        "size": SIZES[given.size]._asdict(),
        "items": given.items,
        "rounds": given.rounds,
        "batch_size": placement_of(options).batch_size,
        "precision": str(placement_of(options).dtype),
    }
    machine = {**describe_environment(device), "cpu": cpu_name(), "cores": os.cpu_count() or 0}
    text = markdown(result, settings, machine)
    print(text)
    if given.output is not None:
        record = {"settings": settings, "machine": machine, "results": result}
        name = f"encode-{given.size}-{device.type}"
        write_atomically(given.output / f"{name}.json", json.dumps(record, indent=1) + "\n")
        write_atomically(given.output / f"{name}.md", text + "\n")


def measure(dataset: Dataset, options: EncoderOptions, folder: Path, rounds: int) -> dict[str, Any]:
    """Return seconds of each way by round, and how far the vectors of the ways are apart; loading counts nowhere."""
    size = placement_of(options).batch_size
    plain = Plain(options)
    encoders = [FrozenEncoder("blip", dataset, folder / f"home-{number}", options) for number in range(rounds + 1)]
    for encoder in encoders[1:]:
        encoder.parts["blip"].network = encoders[0].parts["blip"].network  # loaded once for all rounds
    seconds: dict[str, list[Seconds]] = {way: [] for way in WAYS}
    tables: dict[str, Tensor] = {}
    encoders[rounds].catalog_features(None)  # the first use of each kernel is not what is compared
    plain.encode(dataset, size, first=min(size, len(catalog_of(dataset).texts)))
    order = list(WAYS[:3])
    for number in range(rounds):
        ways: dict[str, Callable[[], Tensor]] = {
            "one by one": partial(plain.encode, dataset, 1),
            "in batches": partial(plain.encode, dataset, size),
            "encoder": partial(_catalogue, encoders[number]),
        }
        for way in order:
            start = now()
            tables[way] = ways[way]()
            seconds[way].append(since(start))
        features = item_features(dataset, "blip", home=encoders[number].home, options=options)
        start = now()
        edited_tables(dataset, features, edits(dataset), encoders[number])
        seconds["edited"].append(since(start))
        order = order[1:] + order[:1]
    return {
        "seconds": {way: [each._asdict() for each in times] for way, times in seconds.items()},
        "largest_difference": float((tables["encoder"] - tables["one by one"]).abs().max()),
        "spread_of_vectors": float(tables["one by one"].std(dim=0).mean()),
    }


class Seconds(NamedTuple):
    """How long something took: wall clock, and processor time of all threads."""

    wall: float
    cpu: float


def now() -> Seconds:
    """Return the clocks; every way ends with its vectors in the memory of the CPU, so nothing is left running."""
    return Seconds(time.perf_counter(), time.process_time())


def since(start: Seconds) -> Seconds:
    """Return how long it has been."""
    end = now()
    return Seconds(end.wall - start.wall, end.cpu - start.cpu)


def _catalogue(encoder: FrozenEncoder) -> Tensor:
    return encoder.catalog_features(None).tables["image"]


class Plain:
    """transformers as its documentation shows it: processor, then model, in the order of the catalogue."""

    def __init__(self, options: EncoderOptions) -> None:
        from transformers import AutoTokenizer, BlipForImageTextRetrieval
        from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

        self.placement = placement_of(options)
        folder = options.weights[0]
        kind: Any = BlipForImageTextRetrieval
        with quiet():
            self.model = kind.from_pretrained(folder, trust_remote_code=False)  # in evaluation mode
            self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
            self.processor: Any = BlipImageProcessorPil.from_pretrained(folder, trust_remote_code=False)
        self.model.to(self.placement.device, self.placement.dtype)

    @torch.inference_mode()
    def encode(self, dataset: Dataset, batch_size: int, first: int | None = None) -> Tensor:
        """Return the fused vectors of a catalogue, or of its first items."""
        catalog = catalog_of(dataset)
        found = []
        for start in range(0, first or len(catalog.texts), batch_size):
            items = range(start, min(start + batch_size, len(catalog.texts)))
            pictures = [catalog.picture(item) for item in items]
            pixels = self.processor(pictures, return_tensors="pt")["pixel_values"].to(self.placement.device)
            texts = self.tokenizer([catalog.texts[item] for item in items], padding=True, return_tensors="pt")
            texts["input_ids"][:, 0] = len(self.tokenizer) - 1
            out = self.model(
                input_ids=texts["input_ids"].to(self.placement.device),
                attention_mask=texts["attention_mask"].to(self.placement.device),
                pixel_values=pixels.to(self.placement.dtype),
                use_itm_head=True,
            )
            found.append(out.question_embeds[:, 0].float().cpu())
        return torch.cat(found)


def edits(dataset: Dataset) -> dict[int, RowContent]:
    """Return new content for a tenth of the items: another title, and a picture drawn over."""
    catalog = catalog_of(dataset)
    n = len(catalog.texts)

    def drawn_over(item: int) -> Image.Image | None:
        picture = catalog.picture(item)
        if picture is not None:
            picture.paste((250, 20, 20), (0, 0, 90, 90))
        return picture

    chosen = np.random.default_rng(SEED).permutation(n)[: max(1, round(EDITED * n))]
    return {
        int(item): RowContent("w1 w2 " + catalog.texts[item], lambda item=int(item): drawn_over(item))  # type: ignore[misc]
        for item in chosen
    }


def save_model(size: Size, folder: Path) -> None:
    """Save a BLIP of a size with random weights, with a tokenizer of made-up words."""
    from transformers import BertTokenizer, BlipConfig, BlipForImageTextRetrieval
    from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

    torch.manual_seed(SEED)
    tokens = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *(f"w{word}" for word in range(WORDS - 5)),
        "[DEC]",
        "[ENC]",
    ]
    tower = {
        "hidden_size": size.width,
        "intermediate_size": 4 * size.width,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads,
    }
    text = {**tower, "vocab_size": len(tokens), "encoder_hidden_size": size.width, "bos_token_id": WORDS}
    config = BlipConfig(text_config=text, vision_config={**tower, "image_size": size.side, "patch_size": size.patch})
    with quiet():
        BlipForImageTextRetrieval(config).save_pretrained(folder)
        vocabulary = {token: place for place, token in enumerate(tokens)}
        BertTokenizer(vocab=vocabulary, additional_special_tokens=["[DEC]", "[ENC]"]).save_pretrained(folder)
        BlipImageProcessorPil(size={"height": size.side, "width": size.side}).save_pretrained(folder)


def make_dataset(n: int, folder: Path) -> Dataset:
    """Return a catalogue of smooth pictures with some noise, as photographs have, and texts of 4 to 50 words."""
    rng = np.random.default_rng(SEED)
    folder.mkdir()
    texts = []
    for item in range(n):
        coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).resize((500, 500), Image.Resampling.BICUBIC)
        noisy = np.asarray(coarse, np.int16) + rng.integers(-12, 13, (500, 500, 3), np.int16)
        Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(folder / f"{item}.jpg", quality=85)
        texts.append(" ".join(f"w{word}" for word in rng.integers(0, WORDS - 5, rng.integers(4, 51))))
    source = PictureSource(folder, [f"{item}.jpg" for item in range(n)])
    catalog = Catalog(tuple(texts), tuple(texts), source)
    nobody = np.zeros(0, np.int64)
    interactions = Interactions(nobody, nobody, np.zeros(0, np.int8), 0, n)
    return Dataset("made up", "full", interactions, catalog, None, {}, (), "none", folder, False)


def catalog_of(dataset: Dataset) -> Catalog:
    """Return the catalogue, which these data sets always have."""
    assert dataset.catalog is not None
    return dataset.catalog


def markdown(result: dict[str, Any], settings: dict[str, Any], machine: dict[str, Any]) -> str:
    """Return the results as a Markdown page."""
    n, seconds = settings["items"], result["seconds"]
    wall = {way: [n / each["wall"] for each in times] for way, times in seconds.items()}
    cpu = {way: statistics.median(each["cpu"] for each in times) for way, times in seconds.items()}
    rate = {way: statistics.median(values) for way, values in wall.items()}
    lines = [
        f"# Encoding on {machine['device']}",
        "",
        ", ".join(f"{key} {value}" for key, value in machine.items()) + ".",
        f"BLIP with random weights: {settings['size']}; {n:,} items, batches of {settings['batch_size']}, "
        f"{settings['precision']}; medians of {settings['rounds']} alternating rounds; models loaded before.",
        "",
        "| way | items/s (min-max) | over one by one | over in batches | processor time, of in batches |",
        "|---|---|---|---|---|",
    ]
    for way in WAYS[:3]:
        spread = f"{rate[way]:.3g} ({min(wall[way]):.3g}-{max(wall[way]):.3g})"
        over = [f"{rate[way] / rate[base]:.2f}" for base in WAYS[:2]]
        lines.append(f"| {way} | {spread} | {over[0]} | {over[1]} | {cpu[way] / cpu['in batches']:.2f} |")
    pairs = list(zip(seconds["edited"], seconds["encoder"], strict=True))
    shares = [edited["wall"] / whole["wall"] for edited, whole in pairs]
    lines += [
        "",
        f"Encoding {EDITED:.0%} of the items again takes {statistics.median(shares):.1%} of the time of all "
        f"({min(shares):.1%}-{max(shares):.1%}), {cpu['edited'] / cpu['encoder']:.1%} of the processor time.",
        f"Largest difference between encoder and one by one: {result['largest_difference']:.2g}, where vectors vary by "
        f"{result['spread_of_vectors']:.2g}.",
    ]
    return "\n".join(lines)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.encode", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--size", default="small", choices=list(SIZES))
    parser.add_argument("--items", type=int, default=256)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--precision", default="auto", choices=["auto", "float32", "bfloat16", "float16"])
    parser.add_argument("--batch-size", type=int, default=None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=None, help="CPU threads; torch's choice by default")
    parser.add_argument("--output", type=Path, default=None, help="folder for encode-SIZE-DEVICE.json and .md")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
