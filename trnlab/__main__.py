"""``python -m trnlab`` is the command line."""

from trnlab.cli import main

main()
