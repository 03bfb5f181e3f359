"""`python -m robustrec`."""

from robustrec.cli.main import main

main()
