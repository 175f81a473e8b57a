"""Say to a contender's processes what they measure and where its servers are: the environment they all read.

Standard library only: jobs of every environment import it.
"""

import dataclasses
import os

PREFIX = "BENCH_PEERS_"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """``workload`` is one of noop, http, chain, idle, kill; ``is_careful`` asks for the settings that lose least.

    ``slot`` counts the workers of one measurement from 0. An address is empty when the contender does not use it.
    """

    workload: str
    is_careful: bool = False
    poll_s: float = 0.02
    slot: int = 0
    broker: str = ""
    redis_port: int = 0
    amqp_port: int = 0
    postgres_url: str = ""
    model_url: str = ""

    @property
    def redis_url(self) -> str:
        """Give the address of Redis."""
        return f"redis://127.0.0.1:{self.redis_port}/0"

    @property
    def amqp_url(self) -> str:
        """Give the address of RabbitMQ, its first virtual host."""
        return f"amqp://guest:guest@127.0.0.1:{self.amqp_port}/"

    def environment(self) -> dict[str, str]:
        """Write it as variables."""
        return {PREFIX + field.name.upper(): str(getattr(self, field.name)) for field in dataclasses.fields(self)}


def read() -> Setting:
    """Read what the process was started with. Raises KeyError when it was not started by a measurement."""
    text = {field.name: os.environ[PREFIX + field.name.upper()] for field in dataclasses.fields(Setting)}
    return Setting(
        workload=text["workload"],
        is_careful=text["is_careful"] == str(True),
        poll_s=float(text["poll_s"]),
        slot=int(text["slot"]),
        broker=text["broker"],
        redis_port=int(text["redis_port"]),
        amqp_port=int(text["amqp_port"]),
        postgres_url=text["postgres_url"],
        model_url=text["model_url"],
    )
