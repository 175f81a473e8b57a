"""Say in one form that a number handed to a policy is out of range.

Decides nothing about any policy; refuses a value outside its range (and not-a-number) with a sentence that names the
field, the value, the unit and the range. Every options record calls it from ``__post_init__``, so a wrong setting
stops the start and not the claim an hour later.
"""


def require(*, field: str, value: float, low: float, high: float, unit: str) -> None:
    """Refuse a value outside ``low`` to ``high``, both included.

    Raises ValueError naming field, value, unit and range. Not-a-number is outside every range.
    """
    if not low <= value <= high:
        raise ValueError(f"{field} is {value}; it must be from {low} to {high} ({unit})")


def require_not_below(*, field: str, value: float, low: float, unit: str) -> None:
    """Refuse a value below ``low``, for quantities such as counts and instants that have no upper end of their own.

    Raises ValueError naming field, value, unit and bound. Not-a-number is refused.
    """
    if not value >= low:
        raise ValueError(f"{field} is {value}; it must be at least {low} ({unit})")
