"""The names of the modalities."""

MODALITIES = ("image", "text")
"""The order of modalities everywhere, and the keys of a feature mapping."""
