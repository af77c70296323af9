"""HdrHistogram's V2 text form: histograms that its libraries in any language read and merge.

Source:
    Gil Tene, HdrHistogram, https://github.com/HdrHistogram/HdrHistogram: `encodeIntoByteBuffer`
    and `ZigZagEncoding`.
"""

from __future__ import annotations

import base64
import functools
import struct
import zlib
from importlib import import_module
from typing import Any

import numpy as np

from slotel.errors import SLOValueError
from slotel.measure.histogram import HIGHEST_UNITS, LAYOUTS, HdrCounts, Ints

_COOKIE = 0x1C849313
_COMPRESSED_COOKIE = 0x1C849314
_HEADER = struct.Struct(">IIIIQQd")
_MAX_BUCKETS = 1 << 16
"""More than any 64-bit value needs with 3 digits; a longer text is refused, not unpacked."""
_MAX_BODY_BYTES = _HEADER.size + 9 * _MAX_BUCKETS


def encode(counts: HdrCounts) -> str:
    """Return the histogram in HdrHistogram's V2 compressed text form (`HISTFAAA…`).

    Any HdrHistogram library reads it; values are in histogram units (nanoseconds, millionths).
    The form has no place for negative values: encode `negative` apart.
    Written by the `hdrhistogram` package's C code where that is installed: five times as fast
    for a full histogram.
    """
    reference = _reference()
    if reference is not None:
        return _encode_by(reference, counts)
    return encode_here(counts)


def encode_here(counts: HdrCounts) -> str:
    """Return the same as `encode`, without the `hdrhistogram` package."""
    payload = _encode_counts(counts)
    header = _HEADER.pack(_COOKIE, len(payload), 0, counts.layout.digits, 1, HIGHEST_UNITS, 1.0)
    packed = zlib.compress(header + payload)
    return base64.b64encode(struct.pack(">II", _COMPRESSED_COOKIE, len(packed)) + packed).decode()


def decode(text: str, *, scale: float) -> HdrCounts:
    """Return the histogram of a V2 compressed text form.

    Args:
        text: What `encode`, or an HdrHistogram library, wrote.
        scale: Histogram units per base unit; the form does not carry it.

    Raises:
        SLOValueError: The text is not such a form, is cut short, or its buckets are not ours: other
            than 2 or 3 digits, or a lowest value other than 1.
    """
    try:
        body = _unpack(text)
        cookie, size, _offset, digits, lowest, _highest, _ratio = _HEADER.unpack_from(body)
        payload = body[_HEADER.size : _HEADER.size + size]
        if cookie != _COOKIE or len(payload) != size:
            raise ValueError(f"cookie {cookie:#x}, {len(payload)} of {size} bytes")
        counts = _decode_counts(payload)
    except (ValueError, struct.error, zlib.error) as error:
        raise SLOValueError(
            f"not an HdrHistogram V2 text: {error}. Give one that begins with HISTFAAA."
        ) from error
    if digits not in LAYOUTS or lowest != 1:
        raise SLOValueError(
            f"an HdrHistogram of {digits} digits from {lowest} on has other buckets than ours. "
            "Record it with 2 or 3 digits and a lowest value of 1."
        )
    return HdrCounts(LAYOUTS[digits], scale, 0, counts)


@functools.cache
def _reference() -> Any:
    """Return HdrHistogram's own Python class, None where the package is not installed."""
    try:
        return import_module("hdrh.histogram").HdrHistogram
    except ImportError:
        return None


def _encode_by(reference: Any, counts: HdrCounts) -> str:
    made = reference(1, HIGHEST_UNITS, counts.layout.digits)
    places, filled = counts.nonzero()
    if len(places):
        np.frombuffer(made.counts, np.uint64)[places] = filled
        made.set_internal_tacking_values(int(places[0]), int(places[-1]), counts.total)
    text: str = made.encode().decode()
    return text


def _unpack(text: str) -> bytes:
    raw = base64.b64decode(text, validate=True)
    cookie, length = struct.unpack_from(">II", raw)
    packed = raw[8 : 8 + length]
    if cookie != _COMPRESSED_COOKIE or len(packed) != length:
        raise ValueError(f"cookie {cookie:#x}, {len(packed)} of {length} bytes")
    return zlib.decompressobj().decompress(packed, _MAX_BODY_BYTES)


def _encode_counts(counts: HdrCounts) -> bytes:
    """ZigZag LEB128 of each count from bucket 0 on; a negative number is a run of zeros."""
    out = bytearray()
    empty = counts.first
    for count in counts.counts.tolist():
        if count == 0:
            empty += 1
            continue
        if empty:
            _put_number(out, -empty)
            empty = 0
        _put_number(out, count)
    return bytes(out)


def _put_number(out: bytearray, number: int) -> None:
    coded = (number << 1) ^ (number >> 63)
    for _ in range(8):
        if coded < 0x80:
            out.append(coded)
            return
        out.append(coded & 0x7F | 0x80)
        coded >>= 7
    out.append(coded)  # The ninth byte carries eight bits.


def _decode_counts(payload: bytes) -> Ints:
    counts: list[int] = []
    coded = shift = taken = 0
    for byte in payload:
        last = taken == 8 or byte < 0x80
        coded |= (byte if taken == 8 else byte & 0x7F) << shift
        shift, taken = shift + 7, taken + 1
        if last:
            _append_number(counts, (coded >> 1) ^ -(coded & 1))
            coded = shift = taken = 0
    if taken:
        raise ValueError("the last count is cut short")
    return np.array(counts, np.int64)


def _append_number(counts: list[int], number: int) -> None:
    if len(counts) + max(1, -number) > _MAX_BUCKETS:
        raise ValueError(f"more than {_MAX_BUCKETS:,} buckets")
    counts.extend([0] * -number if number < 0 else [number])
