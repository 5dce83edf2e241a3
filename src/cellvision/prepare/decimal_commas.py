"""Decimal commas in tables, as spreadsheets write them in many countries."""

from __future__ import annotations

import re
from collections.abc import Iterable

_DECIMAL_COMMA = re.compile(r"\s*[-+]?[0-9]+,[0-9]+\s*")

_THOUSANDS = re.compile(r"\s*[-+]?[1-9][0-9]{0,2},[0-9]{3}\s*")
"""What may as well be a whole number with a comma between thousands."""


def has_decimal_commas(separator: str, cells: Iterable[str]) -> bool:
    r"""Whether the commas of a table's numbers can only be decimal commas.

    No library decides that: pandas and Babel read them if the caller names the decimal sign.

    Parameters
    ----------
    separator
        What separates the columns. Spreadsheets write semicolons where the comma is the decimal
        sign; with tabs, all commas could be between thousands.
    cells
        The numbers. None may have a decimal point.

    Examples
    --------
    >>> has_decimal_commas(";", ["0,53", "7"]), has_decimal_commas(";", ["0,53", "7.5"])
    (True, False)
    >>> has_decimal_commas("\t", ["1,200"]), has_decimal_commas("\t", ["1,200", "0,5"])
    (False, True)
    """
    if separator == ",":
        return False
    is_sure = False
    for cell in cells:
        if "." in cell:
            return False
        if _DECIMAL_COMMA.fullmatch(cell):
            is_sure = is_sure or separator == ";" or not _THOUSANDS.fullmatch(cell)
    return is_sure


def with_decimal_point(cell: str) -> str:
    """Return a number with a decimal point; other text is returned unchanged."""
    return cell.replace(",", ".") if _DECIMAL_COMMA.fullmatch(cell) else cell
