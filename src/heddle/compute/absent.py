"""Stand where a process runs no sync steps: the gateway takes model calls only."""

from heddle.ports import compute


class NoCompute:
    """Have no places, and refuse what is asked for all the same (``ports.compute.Compute``)."""

    size = 0
    free = 0

    async def start(self) -> None:
        """Start nothing."""

    async def run(self, call: compute.ComputeCall) -> compute.ComputeOutcome:
        """Refuse. Raises ComputeUnavailable."""
        raise compute.ComputeUnavailable(f"{call.label}: this process runs no steps")

    async def close(self, drain_s: float) -> None:
        """Close nothing."""
