"""Identifiers sort by time and are read back as they were written."""

import contextlib
import uuid

import hypothesis
from hypothesis import strategies as st

from heddle.core import ids

LAW = hypothesis.settings(max_examples=60, derandomize=True, deadline=None)
TIMES = st.integers(0, (1 << 48) - 2)
BITS = st.integers(0, (1 << 90) - 1)
NAMES = st.text(st.characters(codec="utf-8"), max_size=9)
RUNS = st.uuids(version=4)


@LAW
@hypothesis.given(unix_ms=TIMES, bits=BITS)
def test_a_run_id_has_the_layout_of_version_7_and_tells_its_time(unix_ms: int, bits: int) -> None:
    made = ids.run_id(database_unix_ms=unix_ms, random_bits=bits)

    assert (made.version, made.variant, ids.unix_ms(made)) == (7, uuid.RFC_4122, unix_ms)


@LAW
@hypothesis.given(unix_ms=TIMES, later_ms=TIMES, bits=BITS, other_bits=BITS)
def test_run_ids_of_different_instants_sort_by_time_and_into_their_partition(
    unix_ms: int, later_ms: int, bits: int, other_bits: int
) -> None:
    hypothesis.assume(unix_ms < later_ms)
    early = ids.run_id(database_unix_ms=unix_ms, random_bits=bits)
    late = ids.run_id(database_unix_ms=later_ms, random_bits=other_bits)

    assert early < ids.first_id_at(database_unix_ms=later_ms) <= late
    assert str(early) < str(late)


@LAW
@hypothesis.given(bits=st.integers(0, (1 << 74) - 1), other_bits=st.integers(0, (1 << 74) - 1))
def test_chance_that_differs_where_it_is_used_gives_ids_that_differ(bits: int, other_bits: int) -> None:
    def spread(drawn: int) -> int:
        # The 12 bits above the version and the 62 below the variant are what an id keeps.
        return (drawn >> 62) << 64 | drawn & ((1 << 62) - 1)

    one = ids.run_id(database_unix_ms=1, random_bits=spread(bits))
    other = ids.run_id(database_unix_ms=1, random_bits=spread(other_bits))

    assert (one == other) == (bits == other_bits)


@LAW
@hypothesis.given(run=RUNS, ordinal=st.integers(0, 2**31 - 1), number=st.integers(1, 2**31 - 1))
def test_an_attempt_id_is_read_back_as_it_was_written(run: uuid.UUID, ordinal: int, number: int) -> None:
    named = ids.AttemptId(run_id=run, ordinal=ordinal, number=number)

    assert ids.AttemptId.parse(str(named)) == named


@LAW
@hypothesis.given(run=RUNS, at=st.integers(0, 40), slipped_in=st.sampled_from([*" +-_.0aA{}\u0663", "urn:uuid:", ""]))
def test_a_text_changed_in_one_place_is_either_refused_or_one_form_of_another_attempt_id(
    run: uuid.UUID, at: int, slipped_in: str
) -> None:
    written = f"{run}.17.3"
    text = written[:at] + slipped_in + written[at:]

    forms = {text}
    with contextlib.suppress(ValueError):
        forms.add(str(ids.AttemptId.parse(text)))
    assert forms == {text}


@LAW
@hypothesis.given(kind=NAMES, name=NAMES, version=st.integers(0, 2**31 - 1))
def test_a_lane_fits_a_bigint_and_is_the_same_in_every_process(kind: str, name: str, version: int) -> None:
    number = ids.lane(kind=kind, name=name, version=version, priority="batch")

    assert 0 <= number < 1 << 63
    assert number == ids.lane(kind=kind, name=name, version=version, priority="batch")


@LAW
@hypothesis.given(
    run=RUNS,
    calls=st.sets(st.tuples(st.integers(0, 10_000), st.integers(0, 20)), max_size=30),
)
def test_idempotency_keys_of_different_calls_differ_and_fit_a_header(
    run: uuid.UUID, calls: set[tuple[int, int]]
) -> None:
    keys = {ids.idempotency_key(run=run, ordinal=ordinal, epoch=epoch) for ordinal, epoch in calls}

    assert len(keys) == len(calls)
    assert all(key.isascii() and len(key) == 43 for key in keys)


@LAW
@hypothesis.given(run=RUNS, ordinal=st.integers(0, 10_000))
def test_a_seed_fits_64_bits(run: uuid.UUID, ordinal: int) -> None:
    assert 0 <= ids.seed(run=run, ordinal=ordinal) < 1 << 64
