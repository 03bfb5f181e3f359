"""A second implementation of the numbers of a report, from docs/recompute.md alone; imports nothing of robustrec."""
