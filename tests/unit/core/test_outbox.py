"""What names an event, and what proves that it comes from us."""

import base64
import uuid

import pytest

from heddle.core import outbox

RUN_ID = uuid.UUID("01977420-e2e9-7464-9ec3-81a82d9bb8f2")
SALT = uuid.UUID(int=7)


def test_id_when_written_and_read_then_it_is_the_same() -> None:
    event = outbox.EventId(RUN_ID, 12)

    assert str(event) == "msg_01977420e2e974649ec381a82d9bb8f2_12"
    assert outbox.EventId.parse(str(event)) == event


@pytest.mark.parametrize("text", ["", "msg_", "msg_01977420e2e974649ec381a82d9bb8f2_0", "msg_x_1", f"msg_{RUN_ID}_1"])
def test_id_when_the_text_is_none_then_it_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an event"):
        outbox.EventId.parse(text)


def test_secret_when_derived_twice_then_it_is_the_same_and_of_the_schemes_form() -> None:
    made = [outbox.secret(secret_key="k", tenant_id=1, version=1, salt=SALT) for _ in range(2)]

    assert made[0] == made[1]
    assert made[0].startswith("whsec_")
    assert len(base64.b64decode(made[0].removeprefix("whsec_"))) == 32


def test_secret_when_anything_differs_then_it_is_another() -> None:
    made = {
        outbox.secret(secret_key=key, tenant_id=tenant_id, version=version, salt=salt)
        for key, tenant_id, version, salt in [
            ("k", 1, 1, SALT),
            ("l", 1, 1, SALT),
            ("k", 2, 1, SALT),
            ("k", 1, 2, SALT),
            ("k", 1, 1, uuid.UUID(int=8)),
        ]
    }

    assert len(made) == 5


def test_secret_when_there_is_no_key_then_it_says_so() -> None:
    with pytest.raises(ValueError, match="HEDDLE_SECRET_KEY"):
        outbox.secret(secret_key="", tenant_id=1, version=1, salt=SALT)
