"""Amounts of money as people read them. Pure."""

from decimal import Decimal


def dollars(cost: Decimal | None) -> str:
    """Return US dollars: `$1.84`; below one dollar to a hundredth of a cent, `$0.0025`; empty for None."""
    if cost is None:
        return ""
    if 0 < cost < Decimal("0.0001"):
        return "<$0.0001"
    text = f"{cost:,.2f}" if cost >= 1 else f"{cost:.4f}"
    return "$" + (text[:-2] if cost < 1 and text.endswith("00") else text)
