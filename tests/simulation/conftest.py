"""Keep what days would write out of the tests' output, and leave the process's logging as it was."""

import logging
from collections.abc import Iterator

import pytest

from tests.simulation import living


@pytest.fixture(autouse=True)
def _silence() -> Iterator[None]:
    logger = logging.getLogger("heddle")
    level = logger.level
    living.silence()
    yield
    logger.setLevel(level)
