"""The command line: settings, output, commands. `main` is the whole of it to others."""

from .main import main

__all__ = ["main"]
