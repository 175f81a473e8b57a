"""Offer the command line.

This room parses arguments and prints answers, and refuses to decide anything: what a command does lives in the client
and in the service. A person or a script stands before it.
"""

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and give its exit status; see `heddle --help` for what each means."""
    from heddle.cli import commands

    return commands.main(arguments)
