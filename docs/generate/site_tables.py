"""The tables that replace <!-- generated: NAME --> in the pages, made from the code when the site is built."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

import site_commands
import site_lists
import site_suites

from robustrec.models import MODELS

TABLES: dict[str, Callable[[], str]] = {
    "commands": site_commands.commands_table,
    "edits": site_lists.edits_table,
    "encoders": site_lists.encoders_table,
    "metrics": site_lists.metrics_table,
    "models": site_lists.models_table,
    "report": site_lists.report_tables,
    "settings": site_lists.settings_table,
    "state": site_lists.state_table,
    "strategies": site_lists.strategies_table,
    "suite-keys": site_suites.suite_keys,
    "suites": site_suites.shipped_table,
    **{f"defaults-{name}": partial(site_lists.defaults_table, name) for name in MODELS},
}

MARK = re.compile(r"^<!-- generated: ([\w-]+) -->$", re.M)


def filled(markdown: str) -> str:
    """Return a page with its marks replaced by tables.

    Raises:
        KeyError: a mark names no table.
    """
    return MARK.sub(lambda mark: TABLES[mark[1]](), markdown)
