"""A forest of avvik's in the arrays that other libraries take, and written out as C.

Nodes are numbered so that a node's two children are neighbours, left child first; x < threshold goes left. A leaf's
value is its path length, a multiple of 2^-11 below 2^5, so that the sum over some hundred trees is exact in float32, too.
"""

import dataclasses

import h5py
import numpy as np

STEPS = 2048  # of a leaf value, a path length


@dataclasses.dataclass
class ExportedTree:
    left: np.ndarray  # -1: a leaf
    feature: np.ndarray
    threshold: np.ndarray  # float32
    value: np.ndarray  # float64, path length of a leaf, 0 elsewhere
    depth: np.ndarray
    rows: np.ndarray  # training rows that reach the node

    def __len__(self):
        return len(self.left)

    @property
    def is_leaf(self):
        return self.left < 0

    @property
    def right(self):
        return np.where(self.is_leaf, -1, self.left + 1)

    @property
    def parent(self):
        parent = np.full(len(self), -1)
        inner = np.flatnonzero(~self.is_leaf)
        parent[self.left[inner]] = parent[self.left[inner] + 1] = inner
        return parent

    @property
    def before(self):
        """Thresholds for libraries that send x <= threshold left: the float32 before."""
        return np.nextafter(self.threshold, np.float32(-np.inf))


@dataclasses.dataclass
class ExportedForest:
    trees: list
    n_features: int
    sample: int
    height: int

    @classmethod
    def read(cls, path):
        with h5py.File(path) as file:
            forest = file["/forest"]
            height, leaves, rows = int(forest.attrs["height"]), forest["leaves"][:], forest["rows"][:]
            if "nodes" in forest:
                nodes = forest["nodes"][:]
                threshold, feature = nodes.view(np.float32), (nodes & 63).astype(np.int64)
            else:
                threshold, feature = forest["threshold"][:], forest["feature"][:].astype(np.int64)
            trees = [export(height, *arrays) for arrays in zip(threshold, feature, leaves, rows)]
            return cls(trees, len(file["/features/name"]), int(forest.attrs["sample"]), height)

    @property
    def mean_nodes(self):
        return np.mean([len(tree) for tree in self.trees])


def export(height, threshold, feature, leaves, rows):
    """One tree, from a heap (children of k: 2k and 2k + 1) whose early leaves go on with thresholds of +infinity."""
    table = [[-1, 0, 0.0, 0.0, 0, 0]]

    def fill(number, node, depth):
        if depth == height or np.isposinf(threshold[node]):
            value = leaves[(node << (height - depth)) - 2**height] / STEPS
            table[number] = [-1, 0, 0.0, value, depth, rows[node]]
            return
        left = len(table)
        table.extend([None, None])
        table[number] = [left, feature[node], threshold[node], 0.0, depth, rows[node]]
        fill(left, 2 * node, depth + 1)
        fill(left + 1, 2 * node + 1, depth + 1)

    fill(0, 1, 0)
    types = (np.int64, np.int64, np.float32, np.float64, np.int64, np.int64)
    return ExportedTree(*(np.array(column, dtype=kind) for column, kind in zip(zip(*table), types)))


def c_source(forest, block_rows=512):
    """The forest as if and else: a function a tree, and blocks of rows that stay in the L1 cache from tree to tree."""
    lines = ["#include <stddef.h>", "#include <stdint.h>", "#include <string.h>"]

    def node(tree, number, indent):
        pad = "    " * indent
        if tree.left[number] < 0:
            lines.append(f"{pad}return {round(tree.value[number] * STEPS)};")
            return
        lines.append(f"{pad}if (x[{tree.feature[number]}] < {float(tree.threshold[number]).hex()}f) {{")
        node(tree, tree.left[number], indent + 1)
        lines.append(f"{pad}}} else {{")
        node(tree, tree.left[number] + 1, indent + 1)
        lines.append(f"{pad}}}")

    for number, tree in enumerate(forest.trees):
        lines.append(f"static inline int32_t tree{number}(const float *x)\n{{")
        node(tree, 0, 1)
        lines.append("}")
    lines.append("void path_sums(const float *rows, size_t n_rows, int32_t *sums)\n{")
    lines.append(f"    for (size_t first = 0; first < n_rows; first += {block_rows}) {{")
    lines.append(f"        const size_t n = n_rows - first < {block_rows} ? n_rows - first : {block_rows};")
    lines.append(f"        const float *x = rows + first * {forest.n_features};")
    lines.append("        int32_t *sum = sums + first;")
    lines.append("        memset(sum, 0, n * sizeof *sum);")
    for number in range(len(forest.trees)):
        lines.append("        for (size_t i = 0; i < n; i++)")
        lines.append(f"            sum[i] += tree{number}(x + i * {forest.n_features});")
    lines.append("    }\n}\n")
    return "\n".join(lines)
