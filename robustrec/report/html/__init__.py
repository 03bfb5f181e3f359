"""The report as one HTML file that needs nothing else: no network, no script, no font."""

from robustrec.report.html.page import html_page

__all__ = ["html_page"]
