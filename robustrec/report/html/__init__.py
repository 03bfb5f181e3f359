"""The report as one HTML file without network, scripts or fonts."""

from robustrec.report.html.page import html_page

__all__ = ["html_page"]
