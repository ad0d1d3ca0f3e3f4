"""``python -m bridge`` is the command ``workflow-bridge``."""

from bridge.cli import main

main()
