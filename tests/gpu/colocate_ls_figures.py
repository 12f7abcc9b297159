"""Figures of a server's times, for those that answer requests and those that measure."""
import math


def quantile(values, part):
    """The smallest value that this part of all are not above, `None` where there are none."""
    return sorted(values)[math.ceil(len(values) * part) - 1] if values else None
