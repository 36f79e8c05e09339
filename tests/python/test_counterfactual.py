"""What would make a row ordinary, against dense searches by NumPy on the model file: no smaller change is found.

Few trees and features that vary together: intervals between thresholds are wide, and within them the deviation and the joint
deviation pull to different sides, so that where a row is ordinary often begins and ends between two thresholds.
"""

import itertools
import json

import numpy as np
import pytest

import calibration
import program
import sets
from explained import Model

WEIGHTS = {"forest": 1, "deviation": 1, "joint": 1, "tails": 1}
SOFT = 1e-5  # of a score: it is a float
SAMPLE = 32
FURTHEST = 16  # z-scores that are looked through where nothing is told


def columns(rows=3000, seed=4):
    random = np.random.default_rng(seed)
    base = random.normal(0, 1, rows)
    return {name: values.astype(np.float32) for name, values in {
        "a": base + random.normal(0, 0.1, rows), "b": 2 * base + random.normal(0, 0.3, rows),
        "c": base + random.normal(0, 1, rows), "d": random.gamma(2, 1, rows)}.items()}


class Search:
    def __init__(self, folder):
        self.folder, table = folder, columns()
        sets.write_table(folder / "batch.h5", table)
        program.ok("fit", folder / "batch.h5", "--trees", 4, "--sample", SAMPLE, "--seed", 3, "--tails", "--out", folder / "model.h5")
        program.ok("score", "--model", folder / "model.h5", folder / "batch.h5", "--out", folder / "scores.h5")
        self.model = Model(folder / "model.h5")
        self.model.calibration = calibration.Calibration(folder / "model.h5", WEIGHTS)
        self.values = np.stack([table[name] for name in self.model.names], axis=1)

    def cases(self, rows, cut, *options):
        weights = ",".join(f"{name}={weight}" for name, weight in WEIGHTS.items())
        documents = json.loads(program.ok("explain", self.folder / "scores.h5", "--model", self.folder / "model.h5",
                                          "--rows", rows, "--cut", cut, "--weights", weights, "--json", *options).stdout)
        return [case for case in documents if not case["counterfactual"]["is_ordinary"]]

    def places(self, row, feature, size, grid):
        """Values of a feature nearer than `size`: both sides of every threshold, and a grid; and how far each is."""
        borders, rscale = self.model.thresholds_of(feature), float(self.model.rscale[feature])
        borders = np.concatenate([borders, self.model.cells_of_tails(feature)[0][1:].astype(np.float32)])
        span = min(size, FURTHEST) / rscale
        values = np.unique(np.concatenate([borders, np.nextafter(borders, np.float32(-np.inf)),
                                           np.linspace(row[feature] - span, row[feature] + span, grid, dtype=np.float32)]))
        sizes = np.abs(values.astype(np.float64) - row[feature]) * rscale
        return values[sizes < size], sizes[sizes < size]

    def score(self, by, rows):
        """By one detector, or the combination."""
        if by == "forest":
            mean_path = self.model.path_sums(rows) / 2048 / self.model.trees
            harmonic = (1 / np.arange(1, SAMPLE)).sum()
            return 2.0 ** (-mean_path / (2 * harmonic - 2 * (SAMPLE - 1) / SAMPLE))
        return {"combined": self.model.combined, "deviation": lambda rows: np.abs(self.model.z(rows)).max(axis=1),
                "joint": self.model.distances, "tails": self.model.tails}[by](rows)

    def ordinary(self, case, features, values, slack=-SOFT):
        """Which of these changes make the case ordinary, by more than a float might be off."""
        rows = np.repeat(self.values[case["row"]][None], len(values[0]), axis=0)
        for feature, changed in zip(features, values, strict=True):
            rows[:, feature] = changed
        return self.score(case["by"], rows) < case["cut"]["score"] * (1 + slack)


@pytest.fixture(scope="module")
def search(tmp_path_factory):
    return Search(tmp_path_factory.mktemp("counterfactual"))


def size_of(changes):
    return sum(change["size"] for change in changes) if changes else np.inf


def inside(change):
    """The value next to the border that is told, on the ordinary side."""
    border = np.float32(change["value"])
    return border if change["direction"] == "from" else np.nextafter(border, np.float32(-np.inf))


@pytest.mark.parametrize("by", ["combined", "forest", "deviation", "joint", "tails"])
def test_no_smaller_change_of_one_feature(search, by):
    n_cases = n_between = 0
    for cut in {"combined": (0.1, 0.2, 0.3), "deviation": (0.1, 0.9)}.get(by, (0.1,)):
        for case in search.cases("0..299", cut, "--by", by):
            one, row = case["counterfactual"]["one"], search.values[case["row"]]
            n_cases += 1
            for feature, name in enumerate(search.model.names):
                values, sizes = search.places(row, feature, size_of(one), 801)
                found = search.ordinary(case, [feature], [values]) & (sizes < size_of(one) * (1 - 1e-5))
                assert not found.any(), (case["row"], cut, name, values[found][:3], one)
            if one:
                feature = search.model.names.index(one[0]["feature"])
                assert search.ordinary(case, [feature], [[inside(one[0])]], SOFT).all(), (case["row"], one)
                n_between += np.float32(one[0]["value"]) not in search.model.thresholds_of(feature)
    assert n_cases > 20 and (n_between == 0 if by == "forest" else n_between > n_cases / 4)


@pytest.mark.parametrize("by", ["combined", "joint", "forest", "tails"])
def test_no_smaller_change_of_two_features(search, by):
    """Any two of the four features; 0.1 per cent is what README.md allows, and the grid is no finer than that."""
    n_two = n_tried = 0
    for cut in (0.05, 0.2):
        for case in search.cases("0..199", cut, "--by", by)[:10]:
            row, two = search.values[case["row"]], case["counterfactual"]["two"]
            size = min(size_of(two), size_of(case["counterfactual"]["one"]))
            sides = [search.places(row, feature, size, 61) for feature in range(len(search.model.names))]
            for pair in itertools.combinations(range(len(sides)), 2):
                i, k = (axis.ravel() for axis in np.indices([len(sides[feature][0]) for feature in pair]))
                sizes = sides[pair[0]][1][i] + sides[pair[1]][1][k]
                near = sizes < size * (1 - 1 / 512)
                values = [sides[pair[0]][0][i[near]], sides[pair[1]][0][k[near]]]
                found = search.ordinary(case, pair, values)
                n_tried += len(found)
                assert not found.any(), (case["row"], cut, pair, sizes[near][found].min(), size)
            if two:
                n_two += 1
                assert size_of(two) < size_of(case["counterfactual"]["one"])
                pair = [search.model.names.index(change["feature"]) for change in two]
                assert search.ordinary(case, pair, [[inside(change)] for change in two], SOFT).all(), (case["row"], two)
    assert n_two >= 5 and n_tried > 50_000, (n_two, n_tried)


def test_threads_find_the_same(search):
    documents = [search.cases("0..120", 0.3, "--shap", "--threads", threads) for threads in (1, 2, 7)]
    assert documents[0] == documents[1] == documents[2]
    assert any(case["counterfactual"]["two"] for case in documents[0])
