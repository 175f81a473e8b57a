"""Read what providers export about spend: lines of CSV, lines of JSON, or the answer of OpenAI's costs API.

Sums of one day (UTC) and account are added up before they are rounded to nano-dollars. What cannot be read is refused
with its line; nothing is guessed, and no other currency than US dollars is taken. Before it: ``heddle spend import``.
After it: the store, which keeps one row a day and account.
"""

import collections
import csv
import datetime
import decimal
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from heddle.client import money
from heddle.client.admission import InvalidInput
from heddle.client.values import Problem
from heddle.ports import spending

BYTES_MAX: Final = 64 * 1024 * 1024
ROWS_MAX: Final = 1_000_000
KEPT_MAX: Final = 100_000
ACCOUNT_CHARACTERS_MAX: Final = 200
AMOUNT_USD_MAX: Final = 1_000_000_000
_FIRST_DAY: Final = datetime.date(2000, 1, 1)
_ACCOUNT_KEYS: Final = ("account", "key", "api_key_id", "project_id")

_Row = tuple[datetime.date, str, decimal.Decimal]


def read(text: str) -> list[spending.ReportedSpend]:
    """Give what was spent by day and account, in order. The form is told from the text. Raises InvalidInput."""
    sums: dict[tuple[datetime.date, str], decimal.Decimal] = collections.defaultdict(decimal.Decimal)
    for number, (day, account, amount) in enumerate(_rows(text), start=1):
        if number > ROWS_MAX:
            raise _refused("file", f"has more than {ROWS_MAX} rows; import it in parts")
        sums[day, account] += amount
    if not sums:
        raise _refused("file", "has no rows")
    if len(sums) > KEPT_MAX:
        raise _refused("file", f"has more than {KEPT_MAX} days and accounts; import it in parts")
    return [
        spending.ReportedSpend(day=day, account=account, amount_nano_usd=_nano(amount))
        for (day, account), amount in sorted(sums.items())
    ]


def _rows(text: str) -> Iterator[_Row]:
    stripped = text.lstrip("\ufeff \t\r\n")
    if not stripped.startswith("{"):
        yield from _csv(text.lstrip("\ufeff"))
        return
    try:
        whole = _json(stripped)
    except ValueError:
        whole = None
    if isinstance(whole, dict) and whole.get("object") == "page":
        yield from _costs_page(whole)
        return
    for number, line in enumerate(stripped.splitlines(), start=1):
        if line.strip():
            try:
                value = _json(line)
            except ValueError as error:
                raise _refused(f"line {number}", f"is not JSON: {error}") from error
            yield from _json_line(value, number)


def _json(text: str) -> Any:
    return json.loads(text, parse_float=decimal.Decimal, parse_int=decimal.Decimal)


def _json_line(value: Any, number: int) -> Iterator[_Row]:
    if not isinstance(value, dict):
        raise _refused(f"line {number}", "is no JSON object")
    if value.get("object") == "page":
        yield from _costs_page(value)
    else:
        yield _plain(value, f"line {number}")


def _csv(text: str) -> Iterator[_Row]:
    lines = csv.DictReader(io.StringIO(text, newline=""))
    try:
        heads = {(head or "").strip().lower() for head in lines.fieldnames or ()}
        if not {"time", "amount"} <= heads:
            raise _refused(
                "line 1", "must name the columns time and amount, and may name account (or key) and currency"
            )
        for row in lines:
            yield _plain({(key or "").strip().lower(): value for key, value in row.items()}, f"line {lines.line_num}")
    except csv.Error as error:
        raise _refused(f"line {lines.line_num + 1}", f"is no CSV: {error}") from error


def _plain(row: Mapping[str, Any], place: str) -> _Row:
    """Read a row of the common form: time, amount, account or key, currency."""
    if "time" not in row or "amount" not in row:
        raise _refused(place, "needs time and amount")
    _check_currency(row.get("currency"), place)
    account = next((row[key] for key in _ACCOUNT_KEYS if row.get(key)), "")
    return _day(row["time"], place), _account(account, place), _amount(row["amount"], place)


def _costs_page(page: Mapping[str, Any]) -> Iterator[_Row]:
    """Read a page of ``GET /v1/organization/costs``: buckets of a day, each with results grouped as asked for.

    The form is that of openai 3.54.0, types/admin/organization/usage_costs_response.py, read 2026-11-29.
    """
    for number, bucket in enumerate(_list(page.get("data"), "data"), start=1):
        place = f"data[{number - 1}]"
        if not isinstance(bucket, dict):
            raise _refused(place, "is no bucket")
        for result in _list(bucket.get("results"), f"{place}.results"):
            amount = result.get("amount") if isinstance(result, dict) else None
            if not isinstance(amount, dict):
                continue  # A bucket without spend has results without an amount.
            _check_currency(amount.get("currency"), place)
            account = next((result[key] for key in ("api_key_id", "project_id") if result.get(key)), "")
            yield _day(bucket.get("start_time"), place), _account(account, place), _amount(amount.get("value"), place)


def _list(value: Any, place: str) -> Iterable[Any]:
    if not isinstance(value, list):
        raise _refused(place, "is missing or is no list")
    return value


def _check_currency(value: Any, place: str) -> None:
    if value and str(value).lower() != "usd":
        raise _refused(place, f"is in {str(value)[:10]!r}; only US dollars are compared")


def _account(value: Any, place: str) -> str:
    text = str(value).strip()
    if len(text) > ACCOUNT_CHARACTERS_MAX or not text.isprintable():
        raise _refused(place, f"names an account that is not up to {ACCOUNT_CHARACTERS_MAX} printable characters")
    return text


def _day(value: Any, place: str) -> datetime.date:
    """Read the day in UTC of a Unix time in seconds, a date, or an RFC 3339 time."""
    text = str(value).strip()
    try:
        if text.replace(".", "", 1).isdigit() and "-" not in text:
            day = datetime.datetime.fromtimestamp(float(text), tz=datetime.UTC).date()
        else:
            at = datetime.datetime.fromisoformat(text)
            day = (at if at.tzinfo is None else at.astimezone(datetime.UTC)).date()
    except (ValueError, OverflowError, OSError) as error:
        raise _refused(place, f"has the time {text[:40]!r}; write a date, an RFC 3339 time or Unix seconds") from error
    if day < _FIRST_DAY:
        raise _refused(place, f"is of {day}, before {_FIRST_DAY}")
    return day


def _amount(value: Any, place: str) -> decimal.Decimal:
    try:
        amount = decimal.Decimal(str(value).strip())
    except decimal.InvalidOperation as error:
        raise _refused(place, f"has the amount {str(value)[:40]!r}; write dollars, such as 0.25") from error
    if not amount.is_finite() or abs(amount) > AMOUNT_USD_MAX:
        raise _refused(place, f"has an amount beyond {AMOUNT_USD_MAX} dollars")
    return amount


def _nano(amount: decimal.Decimal) -> int:
    return int((amount * money.NANO_PER_USD).to_integral_value(decimal.ROUND_HALF_EVEN))


def _refused(place: str, message: str) -> InvalidInput:
    return InvalidInput([Problem(field=place, message=message)])
