"""Tensors cross the wire unchanged: what the adapter writes the twin reads, and the other way round.

The two share no code, so a mistake of one reading of the protocol shows as a difference.
"""

import math
import struct
from collections.abc import Mapping
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies

from heddle.providers.kserve import tensors, wire
from heddle.twins.kserve import tensors as twin_tensors


def values_of(datatype: str) -> strategies.SearchStrategy[Any]:
    match datatype:
        case "BOOL":
            return strategies.booleans()
        case "BYTES":
            return strategies.text(strategies.characters(codec="utf-8"), max_size=20)
        case "BF16":
            words = strategies.integers(0, 0xFFFF).map(lambda word: struct.unpack("<f", struct.pack("<HH", 0, word))[0])
            return words.filter(math.isfinite)
        case "FP16" | "FP32" | "FP64":
            return strategies.floats(width=int(datatype[2:]), allow_nan=False, allow_infinity=False)  # type: ignore[arg-type]
        case _:
            bits = int(datatype.lstrip("UINT"))
            is_signed = not datatype.startswith("U")
            return (
                strategies.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
                if is_signed
                else strategies.integers(0, 2**bits - 1)
            )


@strategies.composite
def given_tensors(draw: strategies.DrawFn, *, without: frozenset[str] = frozenset()) -> Mapping[str, tensors.Tensor]:
    made = {}
    for number in range(draw(strategies.integers(1, 4))):
        datatype = draw(strategies.sampled_from(sorted(tensors.DATATYPES - without)))
        shape = tuple(draw(strategies.lists(strategies.integers(1, 3), min_size=1, max_size=3)))
        count = math.prod(shape)
        elements = draw(strategies.lists(values_of(datatype), min_size=count, max_size=count))
        name = f"T{number}"
        data = tensors.pack(name, datatype, elements)
        made[name] = tensors.Tensor(name=name, datatype=datatype, shape=shape, data=data)
    return made


def by_twin(body: wire.Body) -> twin_tensors.Request:
    length = body.headers.get(wire.HEADER_LENGTH)
    return twin_tensors.read(body.data, header_bytes=None if length is None else int(length))


def read_back(request: twin_tensors.Request) -> Mapping[str, tensors.Tensor]:
    body, length = twin_tensors.write(request, list(request.inputs.values()), model="echo", version="1")
    headers = {} if length is None else {wire.HEADER_LENGTH.lower(): str(length)}
    answer = wire.read(headers=headers, body=body)
    assert answer.id == request.id
    return {tensor.name: tensor for tensor in answer.outputs}


@hypothesis.given(sent=given_tensors())
def test_tensors_when_sent_binary_then_come_back_byte_for_byte(sent: Mapping[str, tensors.Tensor]) -> None:
    body = wire.write(request_id="r", inputs=list(sent.values()), outputs=(), parameters={}, is_binary=True)

    assert read_back(by_twin(body)) == sent


@hypothesis.given(sent=given_tensors(without=frozenset({"BF16"})))
def test_tensors_when_sent_as_json_then_come_back_byte_for_byte(sent: Mapping[str, tensors.Tensor]) -> None:
    body = wire.write(request_id="r", inputs=list(sent.values()), outputs=(), parameters={"p": 1}, is_binary=False)
    request = by_twin(body)

    assert request.parameters == {"p": 1}
    assert read_back(request) == sent


@hypothesis.given(sent=given_tensors(), cut=strategies.integers(1, 400))
def test_answer_when_cut_or_grown_anywhere_then_refused(sent: Mapping[str, tensors.Tensor], cut: int) -> None:
    body = wire.write(request_id="r", inputs=list(sent.values()), outputs=(), parameters={}, is_binary=True)
    answer, length = twin_tensors.write(by_twin(body), list(by_twin(body).inputs.values()), model="echo", version="1")
    headers = {wire.HEADER_LENGTH.lower(): str(length)}

    for spoiled in (answer[: max(0, len(answer) - cut)], answer + bytes(cut)):
        with pytest.raises(wire.AnswerRefused):
            wire.read(headers=headers, body=spoiled)


@hypothesis.given(value=strategies.floats(width=32, allow_nan=False, allow_infinity=False))
def test_bf16_when_rounded_then_no_other_is_nearer(value: float) -> None:
    hypothesis.assume(abs(value) < 3.38e38)
    (word,) = struct.unpack("<H", tensors.pack("x", "BF16", [value]))

    def of(each: int) -> float:
        found: float = struct.unpack("<f", struct.pack("<HH", 0, each))[0]
        return found

    neighbours = [of(word)] + [
        of(each) for each in (word - 1, word + 1) if 0 <= each <= 0xFFFF and math.isfinite(of(each))
    ]
    assert abs(of(word) - value) == min(abs(each - value) for each in neighbours)
