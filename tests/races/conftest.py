"""Give the races their fixtures."""

from tests.races import fixtures

open_house = fixtures.open_house
house = fixtures.house
