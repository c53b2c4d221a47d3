"""`python -m sexton`: the command line without its script."""

from sexton.cli import main

main()
