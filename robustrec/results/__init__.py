"""Findings, gates and their verdict, and the report that holds them; nothing here measures, shows or imports torch."""
