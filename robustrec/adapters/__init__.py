"""Models and data of other libraries as models and data sets of robustrec; nothing below imports this package."""
