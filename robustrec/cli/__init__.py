"""The command line: one module per command; each parses, calls and prints, and has no logic of its own."""
