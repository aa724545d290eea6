"""Give mean and spread of each trigger tower (invented data, real arithmetic)."""

import math
import sys
from pathlib import Path

RAW_FILES = #RAW_FILES_PY#

values: dict[int, list[float]] = {}
for name in RAW_FILES:
    for number, line in enumerate(Path(name).read_text().splitlines(), 1):
        try:
            tower, _, l1calo = line.split()
            values.setdefault(int(tower), []).append(float(l1calo))
        except ValueError:
            sys.exit(f"FATAL {name}:{number}: not an event: {line!r}")

rows = []
for tower, seen in sorted(values.items()):
    mean = sum(seen) / len(seen)
    spread = math.sqrt(sum((value - mean) ** 2 for value in seen) / len(seen))
    rows.append(f"{tower:4d} {mean:8.3f} {spread:8.3f}")
Path("root/means.txt").write_text("\n".join(rows) + "\n")
print(f"{len(rows)} towers")
print('leaving with code 0: "successful run"')
