"""The fixtures of these tests; what they are made of stands in `edit_cases`."""

from edit_cases import clothing, view

__all__ = ["clothing", "view"]
