"""The model file says all that the scores are made of.

Scores are computed again from the model and the rows alone, in NumPy and in scikit-learn's own tree, and compared with
what avvik wrote: path sums to the rounding of the leaves, deviations to the bit.
"""

import h5py
import numpy as np
import pytest
from sklearn.tree import ExtraTreeRegressor
from sklearn.tree._tree import Tree

import program
import sets

STEPS = 2048  # of a leaf value, a path length
CUT = np.float32(3.5)
SMALLEST = np.finfo(np.float32).tiny


class Model:
    def __init__(self, path):
        with h5py.File(path) as file:
            self.names = [name.decode() for name in file["/features/name"][:]]
            self.fill = file["/features/fill"][:]
            self.statistics = {name: file["/statistics"][name][:] for name in file["/statistics"]}
            forest = file["/forest"]
            self.trees = int(forest.attrs["trees"])
            self.sample = int(forest.attrs["sample"])
            self.height = int(forest.attrs["height"])
            layout = forest.attrs["layout"]
            self.layout = layout.decode() if isinstance(layout, bytes) else layout
            if self.layout == "packed":
                nodes = forest["nodes"][:]
                assert nodes.dtype == np.uint32
                self.threshold = nodes.view(np.float32)
                self.feature = (nodes & 63).astype(np.int64)
            else:
                assert self.layout == "wide"
                self.threshold = forest["threshold"][:]
                self.feature = forest["feature"][:].astype(np.int64)
            self.leaves = forest["leaves"][:].astype(np.int64)
            self.rows = forest["rows"][:].astype(np.int64)
        assert self.threshold.dtype == np.float32
        assert self.threshold.shape == self.feature.shape == self.leaves.shape == (self.trees, 2**self.height)
        assert self.rows.shape == (self.trees, 2 ** (self.height + 1))

    def prepare(self, values):
        """What the forest sees: missing values filled, denormals 0."""
        values = np.where(np.isfinite(values), values, self.fill)
        return np.where(np.abs(values) < SMALLEST, np.float32(0), values).astype(np.float32)


def average_path(n):
    """c(n) of Liu, Ting and Zhou (2012), eq. 1, with the exact harmonic number."""
    n = np.asarray(n)
    harmonic = np.concatenate(([0.0], np.cumsum(1.0 / np.arange(1, max(2, n.max()) + 1))))
    return np.where(n < 2, 0.0, 2 * harmonic[np.maximum(n, 2) - 1] - 2 * (n - 1) / np.maximum(n, 1))


def walk(model, values):
    """Path sums by the rule in the model file: child of k is 2k + !(x < threshold)."""
    sums = np.zeros(len(values), dtype=np.int64)
    rows = np.arange(len(values))
    for tree in range(model.trees):
        node = np.ones(len(values), dtype=np.int64)
        for _ in range(model.height):
            below = values[rows, model.feature[tree, node]] < model.threshold[tree, node]
            node = 2 * node + ~below
        sums += model.leaves[tree, node - 2**model.height]
    return sums


def export(model, tree):
    """Tree number `tree` as scikit-learn keeps one: arrays in preorder, x <= threshold goes left.

    Where the tree stops above its height limit the stored tree goes on with thresholds of +infinity; such a node is the leaf.
    """
    left, right, feature, threshold, samples = [], [], [], [], []

    def add(node):
        number = len(left)
        for column in (left, right, feature, threshold, samples):
            column.append(-1)
        samples[number] = model.rows[tree, node]
        if node >= 2**model.height or np.isposinf(model.threshold[tree, node]):
            feature[number] = threshold[number] = -2
            return number
        # For float32 x: x < t exactly where x <= the float32 before t.
        before = np.nextafter(model.threshold[tree, node], np.float32(-np.inf))
        feature[number], threshold[number] = model.feature[tree, node], np.float64(before)
        left[number] = add(2 * node)
        right[number] = add(2 * node + 1)
        return number

    add(1)
    return left, right, feature, threshold, samples


node_dtype = ExtraTreeRegressor(max_depth=1).fit([[0.0], [1.0]], [0, 1]).tree_.__getstate__()["nodes"].dtype


def scikit_learn_tree(arrays, n_features, height):
    left, right, feature, threshold, samples = arrays
    nodes = np.zeros(len(left), dtype=node_dtype)
    nodes["left_child"], nodes["right_child"] = left, right
    nodes["feature"], nodes["threshold"] = feature, threshold
    nodes["n_node_samples"] = nodes["weighted_n_node_samples"] = samples
    tree = Tree(n_features, np.array([1], dtype=np.intp), 1)
    tree.__setstate__({"max_depth": height, "node_count": len(nodes), "nodes": nodes,
                       "values": np.zeros((len(nodes), 1, 1))})
    return tree


def path_lengths(model, values):
    """Sum over trees of depth + c(n), in float64, by scikit-learn's walk."""
    total = np.zeros(len(values))
    for number in range(model.trees):
        tree = scikit_learn_tree(export(model, number), values.shape[1], model.height)
        steps = np.asarray(tree.decision_path(values).sum(axis=1)).ravel() - 1
        total += steps + average_path(tree.n_node_samples)[tree.apply(values)]
    return total


def fit_and_score(folder, path, *options, rows=None):
    """A model of `path`, and the scores of `rows` (another batch) or of `path` itself."""
    model, scores = folder / "model.h5", folder / "scores.h5"
    program.ok("fit", path, *options, "--force", "--out", model)
    program.ok("score", "--model", model, rows or path, "--force", "--out", scores)
    with h5py.File(scores) as file:
        return Model(model), {name: file["/scores"][name][:] for name in file["/scores"]}


def check_forest(model, scores, values):
    filled = model.prepare(values)
    assert np.array_equal(walk(model, filled), scores["path_sum"])
    exact = path_lengths(model, filled)
    assert np.abs(STEPS * exact - scores["path_sum"]).max() <= 0.5 * model.trees
    # Liu, Ting and Zhou (2012), eq. 2.
    expected = 2.0 ** -(scores["path_sum"] / STEPS / model.trees / average_path(np.array([model.sample]))[0])
    assert np.array_equal(scores["forest"], expected.astype(np.float32)) or np.abs(
        scores["forest"].view(np.int32) - expected.astype(np.float32).view(np.int32)).max() <= 1


def check_trees(model):
    """Every tree holds together: counts add up, splits split, leaves have the value of their count."""
    size = 2**model.height
    assert (model.rows[:, 1] == model.sample).all()
    assert (model.rows[:, 2::2] + model.rows[:, 3::2] == model.rows[:, 1:size]).all()
    is_end = np.isposinf(model.threshold[:, 1:])
    assert (model.rows[:, 3::2][is_end] == 0).all()
    assert (model.rows[:, 2::2][~is_end] > 0).all() and (model.rows[:, 3::2][~is_end] > 0).all()
    assert (model.feature[:, 1:][~is_end] < len(model.names)).all()
    assert np.isfinite(model.threshold[:, 1:][~is_end]).all()
    for tree in range(model.trees):
        left, _, _, _, samples = export(model, tree)
        leaf = np.array(left) < 0
        assert np.array(samples)[leaf].sum() == model.sample


def flushed(values):
    return np.where(np.abs(values) < SMALLEST, np.float32(0), values)


def check_deviations(model, scores, values):
    mean, scale = model.statistics["center32"], model.statistics["rscale32"]
    assert mean.dtype == scale.dtype == np.float32
    with np.errstate(invalid="ignore", over="ignore", under="ignore"):
        finite = np.where(np.isfinite(values), flushed(values), np.float32(np.nan))
        z = flushed(flushed(finite - mean) * scale)
    assert z.dtype == np.float32
    size = np.where(np.isnan(z), np.float32(0), np.abs(z))
    assert np.array_equal(scores["deviation"].view(np.uint32), size.max(axis=1).view(np.uint32))
    assert np.array_equal(scores["deviation_feature"], size.argmax(axis=1))
    assert np.array_equal(scores["beyond"], (size > CUT).sum(axis=1))
    assert np.array_equal(scores["missing"], (~np.isfinite(values)).sum(axis=1))


def check_statistics(model, values):
    values = np.where(np.isfinite(values), flushed(values), np.nan).astype(np.float64)
    count = np.isfinite(values).sum(axis=0)
    assert np.array_equal(model.statistics["count"], count)
    mean = np.nanmean(values, axis=0)
    sd = np.nanstd(values, axis=0, ddof=1)
    assert (np.abs(model.statistics["mean"] - mean) <= 1e-12 * (np.abs(mean) + sd)).all()
    assert (np.abs(model.statistics["sd"] - sd) <= 1e-12 * (np.abs(mean) + sd)).all()


def check(model, scores, values):
    check_trees(model)
    check_forest(model, scores, values)
    check_deviations(model, scores, values)


def test_bundled_sets(bundled, tmp_path):
    model, scores = fit_and_score(tmp_path, bundled.path, "--trees", 20, "--sample", 256, "--seed", 3)
    assert model.names == bundled.features
    assert model.layout == "packed"
    check(model, scores, bundled.matrix)
    check_statistics(model, bundled.matrix)


@pytest.mark.parametrize("sample", [16, 17, 31, 32, 33, 100, 255, 257, 1024, 4096])
def test_any_sample_size(sample, tmp_path):
    columns = sets.random_columns(6000, 6)
    path = sets.write_table(tmp_path / "batch.h5", columns)
    model, scores = fit_and_score(tmp_path, path, "--trees", 7, "--sample", sample, "--seed", sample)
    assert model.sample == sample
    assert model.height == int(np.ceil(np.log2(sample)))
    check(model, scores, np.stack(list(columns.values()), axis=1))


@pytest.mark.parametrize("features", [1, 2, 63, 64, 65, 200])
def test_any_number_of_features(features, tmp_path):
    columns = sets.random_columns(700, features)
    path = sets.write_table(tmp_path / "batch.h5", columns)
    model, scores = fit_and_score(tmp_path, path, "--trees", 12, "--sample", 128, "--seed", 5)
    assert model.layout == ("packed" if features <= 64 else "wide")
    check(model, scores, np.stack(list(columns.values()), axis=1))
    if features >= 63:
        assert len(np.unique(model.feature[np.isfinite(model.threshold)])) > 40


@pytest.mark.parametrize("features", [6, 70])
def test_rows_on_the_thresholds(features, tmp_path):
    """Values equal to a threshold, the float32 before it and after it, zeros of both signs, tiny, missing and infinite."""
    path = sets.write_table(tmp_path / "batch.h5", sets.random_columns(900, features))
    model, _ = fit_and_score(tmp_path, path, "--trees", 10, "--sample", 256, "--seed", 9)
    random = np.random.default_rng(4)
    special = np.array([0, -0.0, 1e-40, -1e-40, 1e-38, SMALLEST, np.nan, np.inf, -np.inf, 3e38, -3e38],
                       dtype=np.float32)
    values = np.empty((1500, features), dtype=np.float32)
    for column in range(features):
        own = model.threshold[np.isfinite(model.threshold) & (model.feature == column)]
        inf = np.float32(np.inf)
        near = np.concatenate([own, np.nextafter(own, inf), np.nextafter(own, -inf), special])
        values[:, column] = random.choice(near, size=len(values))
    rows = sets.write_table(tmp_path / "rows.h5", dict(zip(model.names, values.T)))
    model, scores = fit_and_score(tmp_path, path, "--trees", 10, "--sample", 256, "--seed", 9, rows=rows)
    check(model, scores, values)


def test_statistics_of_awkward_columns(tmp_path):
    random = np.random.default_rng(8)
    rows = 150_000  # more than two blocks of the summation
    columns = {
        "far": (1e7 + random.normal(size=rows)).astype(np.float32),
        "integers": random.integers(-1000, 1000, rows).astype(np.float32),
        "heavy": random.standard_cauchy(rows).astype(np.float32),
        "holes": np.where(random.random(rows) < 0.3, np.nan, random.normal(size=rows)).astype(np.float32),
        "infinities": np.where(random.random(rows) < 0.01, np.inf, random.normal(size=rows)).astype(np.float32),
        "constant": np.full(rows, 7, dtype=np.float32),
        "denormal": np.where(random.random(rows) < 0.5, 1e-40, random.normal(size=rows)).astype(np.float32),
    }
    path = sets.write_table(tmp_path / "batch.h5", columns)
    model, scores = fit_and_score(tmp_path, path, "--trees", 10, "--sample", 256, "--seed", 1)
    values = np.stack(list(columns.values()), axis=1)
    check(model, scores, values)
    check_statistics(model, values)
    assert 5 not in model.feature[np.isfinite(model.threshold)]  # nothing splits on a constant
