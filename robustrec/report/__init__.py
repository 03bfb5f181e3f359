"""How a report is shown: what is read from it, tables, the console, the page and the other forms."""
