"""Whether dates such as 01/02/2024 begin with the day or the month: told by the rows themselves, or not at all."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rl_core.bars.arrow_columns import as_numpy

_TWO_NUMBERS = r"^(?P<first>\d{1,2})[/.-](?P<second>\d{1,2})[/.-]\d{4}[ T,]"
_MONTHS = 12
CLOCKS = ("%H:%M:%S", "%H:%M", "%H:%M:%S.%f", "%I:%M:%S %p", "%I:%M %p")
YEAR_FIRST = tuple(f"%Y{mark}%m{mark}%d {clock}" for mark in "-/." for clock in CLOCKS)
"""Ways of writing time that have one meaning, whoever wrote them."""


class DateOrder(NamedTuple):
    """What the rows say about the order of day and month."""

    form: str
    """``%m/%d`` or ``%d/%m`` with the file's own mark between them; empty where the rows fit both, or neither."""
    shown: str
    """The first time that fits one order alone; empty where none does."""


def date_order(column: pa.StringArray) -> DateOrder | None:
    """What the times in ``column`` [T] say of themselves; None where the first does not begin with two such numbers.

    A number above twelve is no month. Rows that show both contradict each other.
    """
    if not as_numpy(pc.match_substring_regex(column[:1], _TWO_NUMBERS), False)[0]:
        return None
    parts = pc.extract_regex(column, _TWO_NUMBERS)
    first, second = (as_numpy(pc.cast(pc.struct_field(parts, name), pa.int64()), 0) for name in ("first", "second"))
    day_first, month_first = first > _MONTHS, second > _MONTHS
    if day_first.any() == month_first.any():
        return DateOrder("", "")
    mark = next(letter for letter in str(column[0]) if not letter.isdigit())
    row = int(np.argmax(day_first | month_first))
    return DateOrder(f"%d{mark}%m" if day_first.any() else f"%m{mark}%d", str(column[row]))


def forms_of(order: DateOrder) -> tuple[str, ...]:
    """The ways, as of ``strptime``, of writing a time whose date is in ``order``."""
    return tuple(f"{order.form}{order.form[2]}%Y {clock}" for clock in CLOCKS) if order.form else ()
