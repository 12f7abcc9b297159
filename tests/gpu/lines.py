"""Lines of JSON between a tenant and the measurement that started it."""
import json
import sys


def say(**fields):
    """Answers the measurement."""
    print(json.dumps(fields), flush=True)


def orders():
    """What the measurement asks for, until it says `end` or is gone: (the order, its fields)."""
    for line in sys.stdin:
        if line.strip():
            fields = json.loads(line)
            what = fields.pop("do")
            if what == "end":
                return
            yield what, fields
