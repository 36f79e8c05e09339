"""Draws datasets/plots/shuttle.png: how the forest's score and the deviation part the labelled rows of Statlog Shuttle.

Run after `sh datasets/demo.sh`, from the root of the source tree:
    python -m pip install -r datasets/plots/plot_requirements.txt
    python datasets/plots/plot_shuttle.py build/demo/scores.h5 datasets/real/shuttle.h5:/shuttle/label
"""

import pathlib
import sys

import h5py
import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402 (the backend comes first)

ORDINARY, ANOMALOUS = "#5b7c99", "#d9762b"


def main(scores, labels):
    path, name = labels.rsplit(":", 1)
    with h5py.File(path) as file:
        truth = file[name][:].astype(bool)
    with h5py.File(scores) as file:
        forest, deviation = file["/scores/forest"][:], file["/scores/deviation"][:]

    figure, axes = plt.subplots(1, 2, figsize=(10, 3.6), constrained_layout=True, sharey=True)
    kinds = [(~truth, ORDINARY, "ordinary"), (truth, ANOMALOUS, "labelled anomalous")]
    for axis, values, bins, name in [
            (axes[0], forest, np.linspace(forest.min(), forest.max(), 61), "isolation forest score"),
            (axes[1], deviation, np.geomspace(max(deviation.min(), 0.3), deviation.max(), 61), "largest |z| of the row")]:
        for rows, colour, label in kinds:
            axis.hist(values[rows], bins=bins, color=colour, alpha=0.75, label=f"{label} ({rows.sum():,})")
        axis.set_yscale("log")
        axis.set_xlabel(name)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    axes[1].set_xscale("log")
    axes[0].set_ylabel("rows")
    axes[0].legend(frameon=False)
    figure.suptitle(f"avvik on Statlog Shuttle: {len(truth):,} rows, {truth.mean():.1%} anomalous", x=0.01, ha="left")
    figure.savefig(pathlib.Path(__file__).with_name("shuttle.png"), dpi=110)


if __name__ == "__main__":
    main(*sys.argv[1:])
