"""Say between which bounds a share lies that was seen in some trials, and how far two of them are apart.

Score intervals (Wilson 1927) and their difference (Newcombe 1998, method 10): they hold for few trials and for shares
near 0 and 1, where the usual ones do not. Used by ``objective`` and ``canary``.
"""

import math


def wilson(*, bad: float, tried: float, z: float) -> tuple[float, float]:
    """Give the lowest and the highest share that is plausible. z: of the normal distribution, above 0."""
    if tried <= 0:
        return 0.0, 1.0
    share = min(1.0, max(0.0, bad / tried))
    squared = z * z
    middle = share + squared / (2 * tried)
    spread = z * math.sqrt(share * (1 - share) / tried + squared / (4 * tried * tried))
    scale = 1 + squared / tried
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


def least_difference(*, bad: float, tried: float, other_bad: float, other_tried: float, z: float) -> float:
    """Give the least by which the first share is plausibly above the other; negative when it may be below."""
    if tried <= 0 or other_tried <= 0:
        return -1.0
    share, other = bad / tried, other_bad / other_tried
    low, _ = wilson(bad=bad, tried=tried, z=z)
    _, high = wilson(bad=other_bad, tried=other_tried, z=z)
    return share - other - math.sqrt((share - low) ** 2 + (high - other) ** 2)
