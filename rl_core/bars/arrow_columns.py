"""Arrow columns as NumPy arrays. pyarrow's own conversion loads pandas, a third of a second before the first bar."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

# Of the columns that are read without it; bool has bits instead of bytes.
PLAIN = {pa.float64(): np.float64, pa.int64(): np.int64, pa.int32(): np.int32, pa.uint8(): np.uint8}


def as_numpy(column: pa.Array | pa.ChunkedArray, missing: Any = None) -> npt.NDArray[Any]:
    """The values [T] of ``column``, read-only; ``missing`` where there is none.

    Args:
        column: float64, int64, int32, uint8 or bool without pandas; any other type by pyarrow's own conversion.
        missing: of the column's type; needed where a value is missing.
    """
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if array.null_count:
        array = pc.fill_null(array, missing)
    if pa.types.is_boolean(array.type):
        return as_numpy(pc.cast(array, pa.uint8())).astype(bool)
    plain = PLAIN.get(array.type)
    if plain is None or not len(array):
        return np.asarray(array)
    return np.frombuffer(array.buffers()[1], plain, len(array), array.offset * np.dtype(plain).itemsize)


def is_filled(text: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    """Which [T] of these texts hold more than blanks."""
    return np.asarray(as_numpy(pc.binary_length(pc.utf8_trim_whitespace(text)), 0) > 0)
