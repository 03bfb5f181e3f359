"""The tables of a report, one module per audit."""
