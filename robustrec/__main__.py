"""`python -m robustrec`."""

from robustrec.start import start

start()
