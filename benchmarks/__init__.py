"""Benchmarks: seconds, passes and memory, measured in pairs."""
