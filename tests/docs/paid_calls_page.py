"""Write the table of docs/paid-calls.md that says what each provider offers against paying twice.

Before it: ``DECLARATIONS``. After it: ``generated``, which puts it between its marks.
"""

from heddle.core import attempt
from heddle.ports import provider
from heddle.providers import registry
from heddle.twins import registry as twins

FOUND_AGAIN = {
    attempt.IdempotencyClass.A: "sent again under its key",
    attempt.IdempotencyClass.B: "looked up by our reference",
    attempt.IdempotencyClass.C: "not found: `unknown_policy` of the model decides",
}


def table() -> str:
    """Give one row for each adapter: class, how a lost answer is found, what a crash leads to, whether a twin sells."""
    rows = ["| Adapter | Class | A lost answer is | What a crash in the middle leads to | Twin |"]
    rows.append("| --- | --- | --- | --- | --- |")
    for name, declared in registry.DECLARATIONS.items():
        has_twin = "yes" if name in twins.TWINS else ""
        rows.append(
            f"| [{name}](providers.md#{name}) | {declared.idempotency.value} | {found_again(declared)} | "
            f"{declared.guarantee} | {has_twin} |"
        )
    return "\n".join(rows)


def found_again(declared: provider.Declaration) -> str:
    """Say how a lost answer is found."""
    if declared.idempotency is attempt.IdempotencyClass.C and declared.is_named_by_callback:
        return "named by a callback that is believed, else `unknown_policy` decides"
    return FOUND_AGAIN[declared.idempotency]
