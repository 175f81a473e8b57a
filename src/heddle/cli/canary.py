"""`heddle canary start|promote|rollback|reset`: try a route of a model on a share of the traffic.

They speak to the database, as the other commands of operators do, and name the user in the audit trail.
"""

import argparse

from heddle.cli import complaints, operate

_PERCENT = 100.0


def start(given: argparse.Namespace) -> int:
    """Give a route its share and begin to compare it."""
    share, margin = fraction(given.share, "--share"), fraction(given.margin, "--margin")
    with operate.desk() as desk:
        desk.start_canary(given.model, given.endpoint, share=share, margin=margin, actor=operate.actor())
    print(
        f"{given.model} at {given.endpoint}: gets {share:.3%} of its tier, and is rolled back by itself when its share "
        f"of bad calls is plausibly {margin:.3%} above the others'"
    )
    return complaints.Exit.DONE


def promote(given: argparse.Namespace) -> int:
    """Let a canary be a route like the others."""
    with operate.desk() as desk:
        desk.promote_canary(given.model, given.endpoint, actor=operate.actor())
    print(f"{given.model} at {given.endpoint}: a route like the others, until it is reset")
    return complaints.Exit.DONE


def rollback(given: argparse.Namespace) -> int:
    """Give a canary nothing more."""
    with operate.desk() as desk:
        desk.roll_back_canary(given.model, given.endpoint, actor=operate.actor())
    print(f"{given.model} at {given.endpoint}: gets nothing more, until it is reset; what is in flight goes on")
    return complaints.Exit.DONE


def reset(given: argparse.Namespace) -> int:
    """Go back to what the file says of a route."""
    with operate.desk() as desk:
        was_set = desk.reset_canary(given.model, given.endpoint, actor=operate.actor())
    print(f"{given.model} at {given.endpoint}: {'as the file says' if was_set else 'nothing was set over the file'}")
    return complaints.Exit.DONE


def fraction(text: str, name: str) -> float:
    """Read a share such as ``5%`` or ``0.05``. Raises CommandRefused."""
    try:
        return float(text[:-1]) / _PERCENT if text.endswith("%") else float(text)
    except ValueError as error:
        raise complaints.CommandRefused(f"{name} is {text!r}; write a share such as 5% or 0.05") from error
