"""The fixture of these tests; what it is made of stands in `toy_shop`."""

from toy_shop import make_dataset

__all__ = ["make_dataset"]
