"""Findings, gates and their verdict, the report and its forms. Nothing here imports torch."""
