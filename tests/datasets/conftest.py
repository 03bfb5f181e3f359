"""The fixtures of these tests; what they are made of stands in `tiny_folders`."""

from tiny_folders import home, tiny

__all__ = ["home", "tiny"]
