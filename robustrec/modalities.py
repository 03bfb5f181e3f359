"""The names of modalities: image and text, and any other for which a data set has features."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

MODALITIES = ("image", "text")
"""The modalities that encoders make from a catalog and that edits change; the first in any order of modalities."""

ANY_MODALITY = "*"
"""Stands in a model's `modalities` for every modality of the data set."""

NAME_PATTERN = r"[A-Za-z][A-Za-z0-9_-]{0,39}"
# Names with a meaning of their own in suites and conditions, and as parts, streams and loss terms of models.
_OURS = """
    all both fused none noise clean edits of break features trained frozen rebuilt graphs standardised
    id middle id_to_text users items users_to_items items_to_users regularisation
"""
# Attributes of torch's containers, which cannot be the names of parameters in them.
_OF_TORCH = """
    t_destination add_module apply bfloat16 buffers call_super_init children clear compile copy cpu cuda double
    dump_patches eval extra_repr float forward fromkeys get get_buffer get_extra_state get_parameter get_submodule half
    ipu items keys load_state_dict modules mtia named_buffers named_children named_modules named_parameters parameters
    pop popitem register_backward_hook register_buffer register_forward_hook register_forward_pre_hook
    register_full_backward_hook register_full_backward_pre_hook register_load_state_dict_post_hook
    register_load_state_dict_pre_hook register_module register_parameter register_state_dict_post_hook
    register_state_dict_pre_hook requires_grad_ set_extra_state set_submodule setdefault share_memory smart_apply
    state_dict to to_empty train training type update values xpu zero_grad
"""
RESERVED = frozenset(f"{_OURS} {_OF_TORCH}".split())


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Return modalities in the order that they have everywhere: image, text, then the others by name."""
    there = set(names)
    return tuple(name for name in (*MODALITIES, *sorted(there - set(MODALITIES))) if name in there)


def modality_fault(name: str, others: Collection[str] = MODALITIES) -> str:
    """Say why a text cannot be the name of a modality; empty where it can.

    Args:
        name: the text.
        others: modalities that it must differ from in more than upper and lower case.
    """
    if not re.fullmatch(NAME_PATTERN, name):
        return "must be up to 40 letters, digits, dashes and underscores, of which the first is a letter"
    if name.lower() in RESERVED:
        return "is a reserved word"
    other = next((each for each in others if each.lower() == name.lower() and each != name), None)
    return f"differs from {other!r} only in upper/lower case" if other is not None else ""


def read_of(declared: Collection[str], available: Iterable[str]) -> tuple[str, ...]:
    """Return those of the available modalities that a model declares to read, in the order of modalities.

    Args:
        declared: names, or `ANY_MODALITY` for all.
        available: modalities of the features.
    """
    return tuple(name for name in in_order(available) if name in declared or ANY_MODALITY in declared)
