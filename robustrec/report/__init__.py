"""Output formats of a report: tables, console, HTML page and other formats."""
