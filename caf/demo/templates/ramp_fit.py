"""Fit each trigger tower's ramp: the calorimeter's energy against what L1Calo measured (invented data, real fit)."""

import sys
from pathlib import Path

RAW_FILES = #RAW_FILES_PY#

LARGEST_RESIDUAL = 2.0  # GeV; a tower beyond it has a bad gain

points: dict[int, list[tuple[float, float]]] = {}
for name in RAW_FILES:
    for number, line in enumerate(Path(name).read_text().splitlines(), 1):
        try:
            tower, calo, l1calo = line.split()
            points.setdefault(int(tower), []).append((float(calo), float(l1calo)))
        except ValueError:
            sys.exit(f"FATAL {name}:{number}: not an event: {line!r}")
print(f"run #RUN_NUMBER#: {sum(map(len, points.values()))} events of {len(points)} towers")

gains, bad = [], []
for tower, pairs in sorted(points.items()):
    n, sx, sy = len(pairs), sum(x for x, _ in pairs), sum(y for _, y in pairs)
    sxx, sxy = sum(x * x for x, _ in pairs), sum(x * y for x, y in pairs)
    slope = (n * sxy - sx * sy) / (n * sxx - sx * sx)
    offset = (sy - slope * sx) / n
    residual = max(abs(y - offset - slope * x) for x, y in pairs)
    gains.append(f"{tower:4d} {slope:8.4f} {offset:8.3f} {residual:8.3f}")
    if residual > LARGEST_RESIDUAL:
        bad.append(gains[-1])

Path("root/L1CaloRampData.pool.root").write_text("\n".join(gains) + "\n")
Path("root/bad_gains.txt").write_text("# tower, gain, offset (GeV), largest residual (GeV)\n" + "\n".join(bad) + "\n")
print(f"{len(gains)} gains, {len(bad)} of them bad")
print('leaving with code 0: "successful run"')
