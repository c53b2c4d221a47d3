"""`python -m toolkit`: the command line without its script."""

from toolkit.cli import main

main()
