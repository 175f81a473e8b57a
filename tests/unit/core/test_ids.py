"""Identifiers: their layout, their order, and the golden values that other processes and providers hold."""

import uuid

import pytest

from heddle.core import ids, lanes, run

RUN = uuid.UUID("0190163d-8694-739b-aea5-966c26f8ad91")
DAY_MS = 1_750_000_000_000


def test_run_id_then_it_is_a_uuid_of_version_7_that_tells_its_time() -> None:
    made = ids.run_id(database_unix_ms=DAY_MS, random_bits=(1 << 80) - 1)

    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert ids.unix_ms(made) == DAY_MS


def test_run_id_when_made_of_the_example_of_rfc_9562_then_it_is_that_uuid() -> None:
    # RFC 9562 appendix A.6: rand_a 0xCC3, rand_b 0x18C4DC0C0C07398F.
    bits = (0xCC3 << 64) | 0x18C4DC0C0C07398F

    made = ids.run_id(database_unix_ms=0x017F22E279B0, random_bits=bits)

    assert made == uuid.UUID("017f22e2-79b0-7cc3-98c4-dc0c0c07398f")


def test_run_id_when_made_later_then_it_sorts_later() -> None:
    early = ids.run_id(database_unix_ms=DAY_MS, random_bits=(1 << 80) - 1)
    late = ids.run_id(database_unix_ms=DAY_MS + 1, random_bits=0)

    assert early < late
    assert str(early) < str(late)


def test_first_id_at_then_it_is_at_or_below_every_id_of_its_instant() -> None:
    bound = ids.first_id_at(database_unix_ms=DAY_MS)

    assert bound <= ids.run_id(database_unix_ms=DAY_MS, random_bits=0)
    assert bound > ids.run_id(database_unix_ms=DAY_MS - 1, random_bits=(1 << 80) - 1)


@pytest.mark.parametrize("unix_ms", [-1, 1 << 48])
def test_run_id_when_the_time_does_not_fit_then_it_is_refused(unix_ms: int) -> None:
    with pytest.raises(AssertionError, match="does not fit"):
        ids.run_id(database_unix_ms=unix_ms, random_bits=0)


def test_attempt_id_when_written_then_it_is_read_back_equal() -> None:
    named = ids.AttemptId(run_id=RUN, ordinal=3, number=2)

    assert str(named) == f"{RUN}.3.2"
    assert ids.AttemptId.parse(str(named)) == named


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a.b.c",
        f"{RUN}",
        f"{RUN}.3",
        f"{RUN}.3.2.1",
        f"{RUN}.-3.2",
        f"{RUN}.3.0",
        f"{RUN}. 3.2",
        f"{RUN}.+3.2",
        f"{RUN}.1_0.2",
        f"{RUN}.03.2",
        f"{str(RUN).upper()}.3.2",
        f"{RUN.hex}.3.2",
        f"urn:uuid:{RUN}.3.2",
        f"{RUN}.٣.2",
    ],
)
def test_attempt_id_when_a_text_is_not_its_one_form_then_it_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        ids.AttemptId.parse(text)


def test_attempt_ids_then_they_sort_by_run_ordinal_and_number() -> None:
    unsorted = [ids.AttemptId(run_id=RUN, ordinal=o, number=n) for o, n in [(10, 1), (2, 3), (2, 1)]]

    assert [(each.ordinal, each.number) for each in sorted(unsorted)] == [(2, 1), (2, 3), (10, 1)]


def test_idempotency_key_then_its_value_is_the_one_that_providers_hold() -> None:
    key = ids.idempotency_key(run=RUN, ordinal=3, epoch=0)

    assert key == "hd-cf54d0776672b137e48d418e225a133747fb3917"


def test_idempotency_key_when_run_ordinal_or_epoch_differ_then_it_differs() -> None:
    other = ids.first_id_at(database_unix_ms=1)
    keys = {
        ids.idempotency_key(run=run_id, ordinal=ordinal, epoch=epoch)
        for run_id in (RUN, other)
        for ordinal in (1, 11)
        for epoch in (0, 1, 11)
    }

    assert len(keys) == 12


def test_lane_then_its_value_is_the_one_that_is_stored() -> None:
    assert ids.lane(kind="model", name="relight", version=1, priority="standard") == 2030532004212651815


def test_lanes_when_anything_of_them_differs_then_they_differ_and_fit_a_bigint() -> None:
    found = {
        ids.lane(kind=kind, name=name, version=version, priority=priority.value)
        for kind in ("step", "model", "activation")
        for name in ("a", "b", "a1")
        for version in (1, 11)
        for priority in run.Priority
    }

    assert len(found) == 54
    assert all(0 <= number < 1 << 63 for number in found)


def test_lanes_when_parts_would_join_to_the_same_text_then_they_differ() -> None:
    assert lanes.number("step", "a1", 1, "batch") != lanes.number("step", "a", 11, "batch")


def test_lane_of_a_poll_then_it_belongs_to_the_endpoint_alone() -> None:
    assert lanes.of_poll("one") == lanes.number("poll", "one", 0, "standard")
    assert lanes.of_poll("one") != lanes.of_poll("two")


def test_lane_of_an_activation_then_each_version_has_its_own() -> None:
    assert lanes.of_activation("shoot", 1, "batch") != lanes.of_activation("shoot", 2, "batch")


def test_seed_then_its_value_is_the_one_that_replays_draw_from() -> None:
    assert ids.seed(run=RUN, ordinal=3) == 9901698078065847089
    assert ids.seed(run=RUN, ordinal=4) != ids.seed(run=RUN, ordinal=3)
