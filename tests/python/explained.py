"""A model file walked by NumPy and h5py alone: what `avvik explain` is compared with."""

import h5py
import numpy as np

import calibration


class Model:
    """Everything of a model that explanations rest on."""

    def __init__(self, path):
        with h5py.File(path) as file:
            forest = file["/forest"]
            self.names = [name.decode() for name in file["/features/name"][:]]
            self.height, self.trees = int(forest.attrs["height"]), int(forest.attrs["trees"])
            if "nodes" in forest:
                words = forest["nodes"][:]
                self.thresholds, self.features = words.view(np.float32), words & 63
            else:
                self.thresholds, self.features = forest["threshold"][:], forest["feature"][:]
            self.leaves = forest["leaves"][:].astype(np.int64)
            self.rows = forest["rows"][:].astype(np.int64)
            self.fill = file["/features/fill"][:]
            self.center, self.rscale = file["/statistics/center32"][:], file["/statistics/rscale32"][:]
            self.quantiles = file["/statistics/quantiles"][:].astype(np.float64)
            self.quantile_rows = file["/statistics/quantile_rows"][:].astype(np.float64)
            self.peers = {name: file["/peers"][name][:] for name in ("center32", "rscale32", "rows")} \
                if "peers" in file else None
            self.joint = None
            if "joint" in file:
                n = len(self.names)
                self.joint_mean = file["/joint/mean"][:].astype(np.float64)
                self.joint = np.zeros((n, n))
                self.joint[np.tril_indices(n)] = file["/joint/factor"][:]
                self.parent = file["/peers/parent"][:] if "peers" in file else [0]
                self.joint_peers = {}
                for k, group in enumerate(file["/joint/peers/group"][:] if "peers" in file["/joint"] else []):
                    factor = np.zeros((n, n))
                    factor[np.tril_indices(n)] = file["/joint/peers/factor"][k]
                    self.joint_peers[int(group)] = file["/joint/peers/mean"][k].astype(np.float64), factor
            self.quantiles_of_tails = None
            if "tails" in file:
                self.quantiles_of_tails = [file["/tails"][name][:] for name in ("quantile", "below", "at_most")]
                self.count = file["/statistics/count"][:]
        self.expected = [self._expected(tree) for tree in range(self.trees)]
        self.calibration = calibration.Calibration(path)

    def _expected(self, tree):
        """g of every node, in steps of 2^-20, from leaves and rows: kernels/README.md says how it is rounded."""
        size = 1 << self.height
        sums, g = [0] * (2 * size), [0] * (2 * size)
        for k in range(2 * size - 1, 0, -1):
            n = int(self.rows[tree, k])
            if k >= size:
                leaf = int(self.leaves[tree, k - size])
                sums[k], g[k] = leaf * n, leaf << 9
            else:
                sums[k] = sums[2 * k] + sums[2 * k + 1]
                g[k] = (2 * 512 * sums[k] + n) // (2 * n) if n else g[2 * k]
        return g

    def filled(self, row):
        row = np.asarray(row, np.float32)
        row = np.where(np.abs(row) < np.finfo(np.float32).tiny, np.float32(0), row)
        return np.where(np.isfinite(row), row, self.fill)

    def contributions(self, row):
        """What each feature adds to the path sum, in whole steps; and the path sum."""
        row, size = self.filled(row), 1 << self.height
        added, path_sum = [0] * len(self.names), 0
        for tree in range(self.trees):
            k = 1
            while k < size:
                feature = int(self.features[tree, k])
                child = 2 * k + (not row[feature] < self.thresholds[tree, k])
                added[feature] += self.expected[tree][child] - self.expected[tree][k]
                k = child
            path_sum += int(self.leaves[tree, k - size])
        return added, path_sum

    def path_sums(self, rows):
        """Of many filled rows at once."""
        size, sums = 1 << self.height, np.zeros(len(rows), np.int64)
        at = np.arange(len(rows))
        for tree in range(self.trees):
            k = np.ones(len(rows), np.int64)
            for _ in range(self.height):
                k = 2 * k + ~(rows[at, self.features[tree][k]] < self.thresholds[tree][k])
            sums += self.leaves[tree][k - size]
        return sums

    def path_given(self, row, known):
        """Mean path length of a tree where a feature that is not known takes both ways, in proportion to the rows."""
        size = 1 << self.height

        def below(tree, k):
            if k >= size:
                return self.leaves[tree, k - size] / 2048
            if self.thresholds[tree, k] == np.inf:
                return below(tree, 2 * k)
            feature = int(self.features[tree, k])
            if feature in known:
                return below(tree, 2 * k + (not row[feature] < self.thresholds[tree, k]))
            left, right = int(self.rows[tree, 2 * k]), int(self.rows[tree, 2 * k + 1])
            return (left * below(tree, 2 * k) + right * below(tree, 2 * k + 1)) / (left + right)

        return sum(below(tree, 1) for tree in range(self.trees)) / self.trees

    def tree_of_shap(self, tree):
        """A tree as shap.TreeExplainer takes it, whose rule is x <= threshold; values are path lengths."""
        size, nodes = 1 << self.height, []

        def add(k):
            at = len(nodes)
            nodes.append(None)
            if k >= size or self.thresholds[tree, k] == np.inf:
                leaf = k
                while leaf < size:
                    leaf *= 2
                nodes[at] = (-1, -1, -1, -1, 0.0, self.leaves[tree, leaf - size] / 2048, self.rows[tree, k])
            else:
                below = np.nextafter(self.thresholds[tree, k], np.float32(-np.inf))
                left = add(2 * k)
                right = add(2 * k + 1)
                nodes[at] = (left, right, left, int(self.features[tree, k]), float(below), 0.0, self.rows[tree, k])
            return at

        add(1)
        left, right, default, features, thresholds, values, rows = map(np.array, zip(*nodes))
        return {"children_left": left, "children_right": right, "children_default": default, "features": features,
                "thresholds": thresholds, "values": values.reshape(-1, 1), "node_sample_weight": rows.astype(float)}

    def z(self, rows, group=0):
        center = self.center if self.peers is None else self.peers["center32"][group]
        rscale = self.rscale if self.peers is None else self.peers["rscale32"][group]
        z = (np.asarray(rows, np.float32) - center) * rscale
        return np.where(np.isfinite(rows), z, np.float32(0))

    def apart(self, rows, group=0):
        """The signed logarithms of the z-scores, from their means, and the factor: those of the nearest group around that
        has some, in the end everyone's."""
        while group and group not in self.joint_peers:
            group = int(self.parent[group])
        mean, factor = self.joint_peers[group] if group else (self.joint_mean, self.joint)
        z = self.z(rows, group)
        mantissa, exponent = np.frexp(np.float32(1) + np.abs(z))
        log = np.copysign((2 * mantissa.astype(np.float64) - 1) + (exponent - 1), z)
        return np.where(np.isfinite(rows), log, 0) - mean, factor

    def joint_parts(self, row, group=0):
        """What each feature adds to the squared distance."""
        apart, factor = self.apart(row, group)
        return apart * (factor.T @ (factor @ apart))

    def distances(self, rows, group=0):
        """The squared distances of rows."""
        apart, factor = self.apart(rows, group)
        return ((apart @ factor.T) ** 2).sum(axis=1)

    def cells_of_tails(self, feature):
        """Where each cell of a feature begins, and what values in it are worth in the tails, in bits."""
        values, below, at_most = (array[feature].astype(np.float64) for array in self.quantiles_of_tails)
        n, n_quantiles = int(self.count[feature]), int(np.argmax(at_most == self.count[feature])) + 1
        n_quantiles += int((values[n_quantiles:] == values[n_quantiles - 1]).sum()) if values[n_quantiles - 1] else 0
        values, below, at_most = values[:n_quantiles], below[:n_quantiles], at_most[:n_quantiles]
        after = np.nextafter(values.astype(np.float32), np.float32(np.inf)).astype(np.float64)
        starts = np.concatenate([[-np.inf], values[:(n_quantiles + 1) // 2], after[n_quantiles // 2:]])
        bits = []
        for start, end in zip(starts, [*starts[1:], np.inf]):
            low = at_most[values <= start].max(initial=0)
            high = (n - below[after >= end]).max(initial=0)
            bits.append(np.rint(256 * np.log2(n / min(low, high) if min(low, high) else n + 1)) / 256)
        return starts, np.array(bits)

    def tails(self, rows):
        """The tails of rows without missing values, in bits."""
        total = np.zeros(len(rows))
        for feature in range(len(self.names)):
            starts, bits = self.cells_of_tails(feature)
            total += bits[np.searchsorted(starts, np.asarray(rows)[:, feature].astype(np.float64), "right") - 1]
        return total

    def combined(self, rows, group=0):
        """The combination of rows without missing values, in bits."""
        rows = np.asarray(rows, np.float32)
        scores = {"forest": -self.path_sums(rows).astype(np.float64),
                  "deviation": np.abs(self.z(rows, group)).max(axis=1).astype(np.float64),
                  "joint": self.distances(rows, group)}
        if self.quantiles_of_tails is not None:
            scores["tails"] = 256 * self.tails(rows)
        return self.calibration.combine(scores)

    def thresholds_of(self, feature):
        inner = np.isfinite(self.thresholds)
        inner[:, 0] = False
        return np.unique(self.thresholds[inner & (self.features == feature)])
