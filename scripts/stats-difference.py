#!/usr/bin/env python3
"""Compares stats files by their documented format alone: stats-difference.py ALL.stats PART.stats...

Prints the largest difference between the sums of the first file and those of all others together, relative to the largest sum of the value.
"""
import hashlib
import json
import sys

import numpy as np


def read(path):
    """Value -> [count, sums, products] of one file, as docs/stats-format.md has it."""
    content = open(path, "rb").read()
    assert content[:8] == b"OLRSTATS" and int.from_bytes(content[8:12], "little") == 2, path
    assert hashlib.sha256(content[:-32]).digest() == content[-32:], path
    length = int.from_bytes(content[12:16], "little")
    header = json.loads(content[16:16 + length])
    numbers = np.frombuffer(content, "<f8", offset=16 + length, count=(len(content) - 48 - length) // 8)
    at, values = header["samples"], {}

    def take(count):
        nonlocal at
        at += 2 * count
        # More digits than a double, where the machine has them: what files lost by rounding must not be lost here.
        return numbers[at - 2 * count:at - count].astype(np.longdouble) + numbers[at - count:at]

    for value in header["values"]:
        n = value["groups"] * value["size"]
        values[value["value"], value["axis"], value["groups"], "patches" in value] = [value["count"], take(n), take(n * (value["size"] + 1) // 2)]
    return values


whole, parts = read(sys.argv[1]), [read(path) for path in sys.argv[2:]]
largest = 0.0
for key, (count, *sums) in whole.items():
    assert count == sum(part[key][0] for part in parts), key
    for i, expected in enumerate(sums):
        actual = sum(part[key][1 + i] for part in parts)
        largest = max(largest, float(np.max(np.abs(actual - expected)) / np.max(np.abs(expected))))
print(f"{largest:.1e}")
