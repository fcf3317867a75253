"""``python -m tortie``."""

from tortie.cli.main import main

main()
