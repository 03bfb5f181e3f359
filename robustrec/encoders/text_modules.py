"""Pooling, prompt and further modules of `hf-text`: those of the model folder, and options; no torch."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from robustrec.encoders import families
from robustrec.encoders import sentence_modules as modules
from robustrec.encoders.options import EncoderOptions
from robustrec.encoders.weights import Weights, check_safetensors
from robustrec.errors import RobustrecError

_E5 = re.compile(r"(?<![a-z0-9])e5(?![a-z0-9])", re.IGNORECASE)
_E5_PREFIX = "passage: "  # by the model cards of E5; its instruction-tuned models need none for documents
_MINILM = "minilm"


def check_weights(network: str, weights: Weights, options: EncoderOptions) -> None:
    """Check that a generic network supports the files of its weights; other networks pass.

    Raises:
        RobustrecError: it does not.
    """
    name = families.generic(network)
    if name == families.TEXT:
        text_modules(network, weights, options)
    elif name == families.DUAL:
        families.dual_family(weights.folder)
        check_safetensors(weights.folder, weights.name)
    elif name == families.IMAGE:
        families.image_family(weights.folder)
        check_safetensors(weights.folder, weights.name)


def cut_note(name: str, width: int) -> str:
    """Return the note on vectors that are cut to a width."""
    return (
        f"vectors of {name} are cut to their first {width} values, which is meaningful only for weights trained for it "
        "(Matryoshka)"
    )


def text_modules(name: str, weights: Weights, options: EncoderOptions) -> modules.SentenceModules:
    """Return the modules of a folder with the options applied, for `hf-text` or an alias.

    Raises:
        RobustrecError: the folder is not supported, its pooling is not defined, or it has no safetensors.
    """
    found = modules.sentence_modules(weights.folder, documents=name != _MINILM)
    families.text_family(found.network)
    if name != _MINILM:
        for folder in (found.network, *(step.folder for step in found.steps if isinstance(step, modules.Dense))):
            check_safetensors(folder, weights.name)
        if not found.has_modules and options.pooling is None:
            raise RobustrecError(
                f"the pooling of {weights.name} is not defined: it has no {modules.MODULES}",
                where=str(weights.folder),
                fix="give the pooling that the weights were trained with, by their model card: "
                "--set encoder.pooling=mean (or cls, or lasttoken)",
            )
    if options.pooling is not None:
        steps = found.steps if found.has_modules else ()
        found = found._replace(poolings=(options.pooling,), steps=steps)
    if options.prefix is not None:
        found = found._replace(prompt=options.prefix)
    elif name != _MINILM and not found.prompt and _is_e5(name, weights):
        found = found._replace(prompt=_E5_PREFIX)
    if found.prompt and not found.include_prompt:
        raise RobustrecError(
            "include_prompt = false is not supported with a prompt",
            where=str(weights.folder / "1_Pooling" / "config.json"),
            fix="--set encoder.prefix= to encode texts without a prompt, or use other weights",
        )
    return found._replace(steps=_final_steps(found.steps, options))


def _final_steps(steps: Sequence[modules.Step], options: EncoderOptions) -> tuple[modules.Step, ...]:
    """Return the steps with the options width (Matryoshka: cut, then normalize) and normalise."""
    kept = tuple(steps)
    if options.normalise is False:
        kept = tuple(step for step in steps if not isinstance(step, modules.Normalize))
    if options.width is not None:
        kept = (*kept, modules.Cut(options.width))
    wanted = options.normalise or (options.width is not None and options.normalise is None)
    if wanted and not (kept and isinstance(kept[-1], modules.Normalize)):
        kept = (*kept, modules.Normalize())
    return kept


def _is_e5(name: str, weights: Weights) -> bool:
    named = Path(weights.name).name
    return (name == "e5" or bool(_E5.search(named))) and not re.search("instruct|mistral", named, re.IGNORECASE)
