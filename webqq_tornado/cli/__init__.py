"""The command line; other packages need its `main` alone.

Reading order: `main` lists the commands, `lazy_group` imports the one that is called, `settings`
are its options, `targets` the accounts that they name, and `start` is the program without a
command: server, bot and prompt.
"""

from .main import main

__all__ = ["main"]
