"""The CRC-32 of two concatenated byte strings, from the CRC-32 of each, so that no byte has to be read twice.

A CRC is a remainder of polynomials over GF(2): appending n bytes multiplies it by x^8n and adds theirs. Bits are in
reverse order, as in zip: the highest is the coefficient of x^0. Source: M. Adler, ``crc32_combine`` of zlib.
"""

from functools import cache

_POLYNOMIAL = 0xEDB88320
_ONE = 1 << 31
_X = 1 << 30


def join(first: int, second: int, length: int) -> int:
    """Return the CRC-32 of a byte string followed by another.

    Args:
        first: The CRC-32 of the first.
        second: The CRC-32 of the second.
        length: The second's length in bytes.
    """
    return _times(_power_of_x(8 * length), first) ^ second


def _times(a: int, b: int) -> int:
    """Return the product of two polynomials, modulo that of CRC-32."""
    product = 0
    while a:
        if a & _ONE:
            product ^= b
        a = a << 1 & 0xFFFFFFFF
        b = b >> 1 ^ (_POLYNOMIAL if b & 1 else 0)
    return product


@cache  # the tensors of a model have few different lengths
def _power_of_x(exponent: int) -> int:
    """Return x to the power ``exponent``, modulo the polynomial of CRC-32."""
    power, square = _ONE, _X
    while exponent:
        if exponent & 1:
            power = _times(power, square)
        square = _times(square, square)
        exponent >>= 1
    return power
