"""What host/cases/README.md says of p-values and lists, written again in NumPy."""

import h5py
import numpy as np

DETECTORS = ("forest", "deviation", "joint")  # that are combined; tails, too, where the model has them
WEIGHTS = {"forest": 4, "deviation": 1, "joint": 1}


def surprises(group):
    """How unusual rows are to each detector: numbers that grow with it."""
    found = {"forest": -group["path_sum"][:].astype(np.float64), "deviation": group["deviation"][:].astype(np.float64),
             "joint": group["joint"][:].astype(np.float64)}
    return found | ({"tails": group["tails"][:].astype(np.float64)} if "tails" in group else {})


def share_above(reference, values):
    """The share of the reference that is `values` or more, with a tail beyond its k-th largest."""
    reference = np.sort(reference)
    n = len(reference)
    distinct, first = np.unique(reference, return_index=True)
    share = np.interp(values, distinct, (n - first) / (n + 1))
    share[values < distinct[0]] = 1
    k = max(1, int(np.sqrt(n)) // 4)
    start, end = reference[n - 2 * k], reference[n - k]
    halving = end - start if end > start else end - reference[0] if end > reference[0] else 1
    beyond = values >= end
    # Generalised Pareto of shape 1: half is left at `end` of what there was at `start`, 2k / (n + 1).
    share[beyond] = 2 * k / (n + 1) / (1 + (values[beyond] - (end - halving)) / halving)
    return share


class Calibration:
    """/reference and /calibration of a model or score file."""

    def __init__(self, path, weights=None):
        self.weights = weights or WEIGHTS
        with h5py.File(path) as file:
            self.n = int(file["/calibration"].attrs["rows"])
            self.reference = surprises(file["/reference"])
            self.held_out = surprises(file["/calibration"]) if self.n else {name: np.zeros(0) for name in DETECTORS}
        self.held_out["combined"] = self.combine(self.held_out)

    def combine(self, rows):
        bits = sum(weight * -np.log2(share_above(self.reference[name], rows[name]))
                   for name, weight in self.weights.items())
        return bits / sum(self.weights.values())

    def rows(self, path):
        """The surprise of every row of a score file, by each detector."""
        with h5py.File(path) as file:
            rows = surprises(file["/scores"])
        rows["combined"] = self.combine(rows)
        return rows

    def p(self, name, rows, slack=0.0):
        """Conformal p-values. slack: held-out rows that lie this little below a row count as reaching it."""
        held_out = np.sort(self.held_out[name])
        return (1 + self.n - np.searchsorted(held_out, rows[name] - slack)) / (self.n + 1)
