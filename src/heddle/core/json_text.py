"""Write JSON values as text, by encoders that are made once.

``json.JSONEncoder.encode`` makes its C encoder anew at each call, which costs more than writing a small value does; a
step writes four of them.
"""

import json
from collections.abc import Callable
from json import encoder
from typing import Any


def writer(*, sort_keys: bool = False) -> Callable[[Any], str]:
    """Make a function that writes a JSON value without white space, in Unicode as it is.

    It takes None, bool, int, float, str, list, tuple and dict of the same, none of which holds itself; not finite
    floats become ``NaN`` and ``Infinity``, as in ``json``. It raises TypeError for anything else.
    """
    plain = json.JSONEncoder(sort_keys=sort_keys, separators=(",", ":"), ensure_ascii=False)
    make: Callable[..., Any] | None = getattr(encoder, "c_make_encoder", None)
    if make is None:
        return plain.encode
    # Without a set of marks: values that hold themselves are refused where they come in.
    chunks = make(None, plain.default, encoder.encode_basestring, None, ":", ",", sort_keys, False, True)

    def write(value: Any) -> str:
        return "".join(chunks(value, 0))

    return write
