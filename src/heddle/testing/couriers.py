"""Carry webhooks nowhere: a courier whose answers a test gives (``ports.courier.Courier``)."""

from collections.abc import Awaitable, Callable

from heddle.ports import courier

Answer = courier.Answered | courier.Unanswered


async def take_everything(_letter: courier.Letter) -> Answer:
    """Answer as a receiver that is well."""
    return courier.Answered(status=204)


class ScriptedCourier:
    """Answer every letter as a function says, and remember the letters."""

    def __init__(self, answer: Callable[[courier.Letter], Awaitable[Answer]] = take_everything) -> None:
        self._answer = answer
        self.letters: list[courier.Letter] = []

    async def send(self, letter: courier.Letter) -> Answer:
        """Remember the letter and answer it."""
        self.letters.append(letter)
        return await self._answer(letter)

    async def close(self) -> None:
        """Close nothing."""
