"""Decide what share of a tier a canary gets, and when it is worse than the others and must go.

A canary is one route that gets a small share of its tier while it is compared with the other routes of the tier. It is
rolled back when its share of bad calls (failed, ambiguous, or refused by the quality gate) is above theirs by more than
``margin``, by the lower bound of Newcombe's interval at z: a difference that luck would show in about one of a
thousand looks. It is never promoted by itself: that is for a person. Neighbours: ``engine.routing`` brings counts since
its start and carries out; ``objective`` shares the rest among the others.
"""

import dataclasses
import enum

from heddle.core.policy import bounds, proportion


class State(enum.StrEnum):
    """Name what was decided about a route over the file: it is tried, it is one like the others, it gets nothing."""

    RUNNING = "running"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CanaryOptions:
    """Hold how much is asked before a canary is rolled back. All numbers are ours.

    samples: default 20, 5 to 100_000; the fewest calls of it before it is judged, and of the others to compare with.
    z: default 3.09, 1 to 6; of the normal distribution, 3.09 for one in a thousand on one side.
    alone_share: default 0.5, 0.01 to 1; share of bad calls above which it goes while the others have too few calls.
    overshoot: default 1.25, 1 to 10; how far its true share may pass its own before it pauses.
    """

    samples: int = 20
    z: float = 3.09
    alone_share: float = 0.5
    overshoot: float = 1.25

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        bounds.require(field="samples", value=self.samples, low=5, high=100_000, unit="calls")
        bounds.require(field="z", value=self.z, low=1, high=6, unit="deviations")
        bounds.require(field="alone_share", value=self.alone_share, low=0.01, high=1, unit="share")
        bounds.require(field="overshoot", value=self.overshoot, low=1, high=10, unit="times")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Report a running canary: its share of the tier, the margin it is allowed, and what was counted since it started.

    share, margin: above 0 and below 1 (margin may be 0). The baseline is all other routes of its tier together.
    """

    share: float
    margin: float
    tried: int
    bad: int
    baseline_tried: int
    baseline_bad: int


def worse(options: CanaryOptions, trial: Trial) -> str | None:
    """Tell in one clause why a canary has to be rolled back; None while it need not be."""
    if trial.tried < options.samples:
        return None
    seen = f"{trial.bad} of its {trial.tried} calls were bad"
    if trial.baseline_tried < options.samples:
        low, _ = proportion.wilson(bad=trial.bad, tried=trial.tried, z=options.z)
        return f"{seen}, and no other route to compare it with" if low > options.alone_share else None
    least = proportion.least_difference(
        bad=trial.bad,
        tried=trial.tried,
        other_bad=trial.baseline_bad,
        other_tried=trial.baseline_tried,
        z=options.z,
    )
    if least <= trial.margin:
        return None
    others = f"{trial.baseline_bad} of the others' {trial.baseline_tried}"
    return f"{seen} and {others}: at least {least:.1%} more, and {trial.margin:.1%} is allowed"


def weight(options: CanaryOptions, trial: Trial) -> float:
    """Give a canary's part of its tier now, the others' being 1 less it; 0 while it has had more than its share.

    A draw gives a route its weight only while all have room: what overflows from a full one would go to the canary.
    """
    together = trial.tried + trial.baseline_tried
    allowed = max(float(options.samples), trial.share * options.overshoot * together)
    has_too_much = together > 0 and trial.tried > allowed and trial.tried > trial.share * together
    return 0.0 if has_too_much else trial.share
