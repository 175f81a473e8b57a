"""Hold the handle that stands for a result: awaitable, an edge when it is passed on, useless as a value before that.

A call that is passed to another call, at any depth, or returned, is an edge; ``call["k"]``, ``call[0]`` and
``call.field`` are edges to a part. Whatever else would need the value raises "await it first", so that a forgotten
``await`` fails at its own line. Neighbours: an activation makes calls and answers their awaits; ``encoding`` writes
them into arguments.
"""

import collections.abc
import operator
from typing import Any, Generic, NoReturn, Protocol, TypeVar

from heddle.core import identity, plan
from heddle.program.errors import CallNotAwaited

Output_co = TypeVar("Output_co", covariant=True)
Decode = collections.abc.Callable[[identity.JsonValue], object]


class Owner(Protocol):
    """What a call needs of the activation that made it."""

    def wait(
        self, calls: "collections.abc.Sequence[Call[Any]]", max_failed: int
    ) -> collections.abc.Generator[object, None, list[Any]]:
        """Give the results once all have ended; yield to suspend."""
        ...


def _refused(use: str) -> collections.abc.Callable[..., Any]:
    def refuse(self: "Call[Any]", *_: object) -> NoReturn:
        raise CallNotAwaited(f"{self!r} cannot be {use} before it has a value: await it first")

    return refuse


class Call(Generic[Output_co]):
    """Stand for the result of a step, model or workflow that was called.

    ``await`` it for its value (raises StepFailed when it did not succeed), or pass it on without waiting.
    ``call["key"]``, ``call[0]`` and ``call.field`` stand for parts of the result. Its own attributes begin with an
    underscore, so that every field name is free.
    """

    __slots__ = ("_decode", "_name", "_ordinal", "_owner", "_path")

    def __init__(
        self, *, owner: Owner, ordinal: int, name: str, decode: Decode, path: tuple[str | int, ...] = ()
    ) -> None:
        self._owner = owner
        self._ordinal = ordinal
        self._name = name
        self._decode = decode
        self._path = path

    def __await__(self) -> collections.abc.Generator[object, None, Output_co]:
        results = yield from self._owner.wait((self,), 0)
        value: Output_co = results[0]
        return value

    def __getitem__(self, key: str | int) -> "Call[Any]":
        if type(key) is not int and not isinstance(key, str):
            raise CallNotAwaited(f"{self!r} can be taken apart by a name or an index, not by {key!r}: await it first")
        return Call(
            owner=self._owner, ordinal=self._ordinal, name=self._name, decode=self._decode, path=(*self._path, key)
        )

    def __getattr__(self, name: str) -> "Call[Any]":
        if name.startswith("_"):
            raise AttributeError(f"{self!r} has no {name!r}; for a field of that name write call[{name!r}]")
        return self[name]

    def __repr__(self) -> str:
        path = "".join(f"[{key!r}]" for key in self._path)
        return f"<call {self._ordinal} of {self._name}{path}>"

    def __hash__(self) -> int:
        # By ordinal, not by address: the order of a set of calls is then the same on every replay.
        return hash(self._ordinal)

    __bool__ = _refused("tested for truth")
    __iter__ = __aiter__ = __reversed__ = _refused("iterated over")
    __len__ = __contains__ = _refused("measured or searched")
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _refused("compared")
    __str__ = __format__ = _refused("formatted")
    __int__ = __float__ = __complex__ = __index__ = __round__ = __bytes__ = _refused("converted")
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _refused("calculated with")
    __truediv__ = __rtruediv__ = __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = _refused("calculated with")
    __pow__ = __rpow__ = __and__ = __rand__ = __or__ = __ror__ = _refused("calculated with")
    __neg__ = __pos__ = __abs__ = __invert__ = _refused("calculated with")
    __reduce_ex__ = __copy__ = __deepcopy__ = _refused("copied or pickled")
    __call__ = _refused("called")
    __enter__ = __aenter__ = _refused("entered")
    __setitem__ = __delitem__ = _refused("changed")


# For this room only. Functions, because a public attribute of a call is a field of its output.
ordinal_of: collections.abc.Callable[[Call[Any]], int] = operator.attrgetter("_ordinal")
name_of: collections.abc.Callable[[Call[Any]], str] = operator.attrgetter("_name")
owner_of: collections.abc.Callable[[Call[Any]], Owner] = operator.attrgetter("_owner")
path_of: collections.abc.Callable[[Call[Any]], tuple[str | int, ...]] = operator.attrgetter("_path")
decode_of: collections.abc.Callable[[Call[Any]], Decode] = operator.attrgetter("_decode")


def edge(call: Call[Any]) -> dict[str, Any]:
    """Give the encoded form of a call inside a value."""
    return {plan.CALL: [ordinal_of(call), list(path_of(call))]}
