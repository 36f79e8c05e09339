"""Draws a chart of what bench/peers/compare_peers.py measured: forest scoring in memory, a bar a contender.

    python bench/plot_bench.py build/peers.json bench/peers.png
"""

import json
import sys

import matplotlib
import matplotlib.ticker

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402 (the backend comes first)

AVVIK, PEER, INK = "#d9762b", "#5b7c99", "#333333"


def main(source, picture):
    with open(source, encoding="utf-8") as file:
        report = json.load(file)
    entries = [entry for entry in report["memory"] if entry["cores"] == 1]
    speeds = {entry["name"]: report["rows"] / min(entry["seconds"]) / 1e6 for entry in entries}
    entries.sort(key=lambda entry: speeds[entry["name"]])
    best = max(speeds[entry["name"]] for entry in entries if entry["is_avvik"])

    figure, axis = plt.subplots(figsize=(9, 0.4 * len(entries) + 1.3), constrained_layout=True)
    for place, entry in enumerate(entries):
        speed = speeds[entry["name"]]
        axis.barh(place, speed, color=AVVIK if entry["is_avvik"] else PEER, height=0.72)
        label = f"{speed:.1f}" if speed >= 1 else f"{speed:.2f}"
        if speed < best:
            label += f"   ({best / speed:.{1 if best < 10 * speed else 0}f} times slower)"
        axis.text(speed * 1.06, place, label, va="center", color=INK)
    names = [f"{entry['name']} {entry['version'] or ''}".strip() for entry in entries]
    axis.set_yticks(range(len(entries)), names)
    axis.set_xscale("log")
    axis.set_xlim(min(speeds.values()) / 2, best * 5)
    axis.xaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_xlabel("million rows per second on one core (logarithmic)")
    axis.tick_params(axis="y", length=0)
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
    axis.set_title(f"Isolation forest, {report['trees']} trees, {report['rows']:,} rows x {report['features']} features in "
                   "memory (avvik's time includes its z-scores)", loc="left", fontsize=10, color=INK)
    figure.savefig(picture, dpi=110)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
