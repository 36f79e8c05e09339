"""Tails: exact quantiles as NumPy has them, scores as those of PyOD's ECOD within the resolution that is documented."""

import json
import re

import h5py
import numpy as np
import pytest
from pyod.models.ecod import ECOD
from scipy.stats import spearmanr

import program
import sets
from calibration import Calibration

ONE = 256  # a bit in steps of /scores/tails
STEP = np.log2(1.5)  # what a value may be worth too much


def places(n):
    """1, 2, 3, 4, 6, 8, 12, ... from both ends as far as the middle, and the middle: from 1 on."""
    middle = (n + 1) // 2
    low = {1, middle} | {k * 2**i for k in (2, 3) for i in range(40)}
    low = {place for place in low if place <= middle}
    return np.array(sorted(low | {n + 1 - place for place in low}))


def fit_and_score(path, folder, *options, backend="auto"):
    program.ok("fit", path, "--tails", "--seed", 4, "--force", "--out", folder / "model.h5", *options)
    program.ok("score", "--model", folder / "model.h5", path, "--backend", backend, "--force", "--out", folder / "scores.h5")
    return h5py.File(folder / "model.h5"), h5py.File(folder / "scores.h5")


def check_quantiles(model, values):
    for f, column in enumerate(values.T):
        column = np.sort(column[np.isfinite(column)])
        wanted = column[places(len(column)) - 1] if len(column) else column
        n = len(wanted)
        assert np.array_equal(model["/tails/quantile"][f, :n].view(np.uint32), wanted.view(np.uint32))
        assert np.array_equal(model["/tails/below"][f, :n], np.searchsorted(column, wanted, "left"))
        assert np.array_equal(model["/tails/at_most"][f, :n], np.searchsorted(column, wanted, "right"))


def mixed(rows):
    """Heavy tails, money with many equal values, codes, a column that is nearly constant, and values that are missing."""
    random = np.random.default_rng(rows)
    values = np.stack([random.standard_t(2, rows), np.round(random.lognormal(9, 1, rows), -2), random.integers(0, 5, rows),
                       random.random(rows) < 0.001, random.normal(size=rows) * 1e-37, -random.exponential(size=rows) ** 4],
                      axis=1).astype(np.float32)
    values[np.abs(values) < np.finfo(np.float32).tiny] = 0
    values[random.random(rows) < 0.02, 1] = np.nan
    values[5, 0] = np.inf
    return values


def write(path, values):
    return sets.write_table(path, {f"x{i}": column for i, column in enumerate(values.T)})


@pytest.mark.parametrize("rows", [17, 1000, 150_000])
def test_quantiles_are_numpy_s_whatever_the_threads_and_the_memory(rows, tmp_path):
    values = mixed(rows)
    path = write(tmp_path / "batch.h5", values)
    found = []
    for options in (("--threads", 1), ("--threads", 3, "--memory", "60M", "--checkpoint", 0)):
        model, scores = fit_and_score(path, tmp_path, "--trees", 20, *options)
        check_quantiles(model, values)
        found.append((model.attrs["content_hash"], scores["/scores/tails"][:].tobytes()))
    assert found[0] == found[1]
    assert program.ok_json("fit", path, "--tails", "--force", "--out", tmp_path / "model.h5")["passes"] == 5


@pytest.mark.parametrize("name", ["breast_diagnostic", "digits", "glass", "ionosphere", "shuttle", "wine"])
def test_scores_are_those_of_pyod(name, tmp_path):
    """PyOD's ECOD ranks by the sum of each value's smaller tail, in nats, which is what we have in bits."""
    labelled = next(item for item in sets.bundled() if item.name == name)
    values = labelled.matrix.astype(np.float64)
    ecod = ECOD().fit(values)
    wanted = ecod.decision_scores_ / np.log(2)
    _, scores = fit_and_score(labelled.path, tmp_path, "--table", labelled.table)
    got = scores["/scores/tails"][:] / ONE
    above = (got - wanted) / values.shape[1]
    rank = spearmanr(got, wanted).statistic
    print(f"{name}: {above.mean():.3f} bits a feature above PyOD's, at most {above.max():.3f}; rank correlation {rank:.4f}")
    assert above.min() >= -0.5 / ONE - 1e-9
    assert above.max() <= STEP + 0.5 / ONE + 1e-9
    assert rank > 0.98
    # A row alone, beyond all that were seen on every side: one among n + 1.
    beyond = sets.write_table(tmp_path / "beyond.h5", table=labelled.table[1:],
                              columns={name: np.array([3e38], np.float32) for name in labelled.features})
    program.ok("score", "--model", tmp_path / "model.h5", beyond, "--force", "--out", tmp_path / "beyond_scores.h5")
    with h5py.File(tmp_path / "beyond_scores.h5") as file:
        steps = np.rint(np.log2(len(values) + 1) * ONE)
        assert file["/scores/tails"][0] == steps * values.shape[1]


def test_a_missing_value_and_a_feature_without_weight_add_nothing(tmp_path):
    values = mixed(2000)
    path = write(tmp_path / "batch.h5", values)
    _, scores = fit_and_score(path, tmp_path)
    whole = scores["/scores/tails"][:]
    model, scores = fit_and_score(path, tmp_path, "--weight", "x0=0,x1=0,x2=0,x4=0,x5=0")
    check_quantiles(model, values)
    alone = scores["/scores/tails"][:]
    assert set(np.unique(alone)) == {0, int(np.rint(-np.log2(values[:, 3].mean()) * ONE))}
    assert (whole > alone).all()
    path = write(tmp_path / "gaps.h5", np.full_like(values, np.nan))
    program.ok("score", "--model", tmp_path / "model.h5", path, "--force", "--out", tmp_path / "scores.h5")
    with h5py.File(tmp_path / "scores.h5") as file:
        assert (file["/scores/tails"][:] == 0).all()


def test_every_backend_has_the_same_bits(tmp_path):
    path = write(tmp_path / "batch.h5", mixed(3000))
    found = {}
    for device in program.ok_json("devices")["devices"]:
        if device["available"]:
            _, scores = fit_and_score(path, tmp_path, "--trees", 20, backend=device["backend"])
            found[device["backend"]] = scores["/scores/tails"][:].tobytes()
    assert len(found) >= 2 and len(set(found.values())) == 1, sorted(found)


def test_lists_by_tails(tmp_path):
    labelled = next(item for item in sets.bundled() if item.name == "shuttle")
    _, file = fit_and_score(labelled.path, tmp_path)
    scores, tails = tmp_path / "scores.h5", file["/scores/tails"][:]
    listed = program.ok_json("flag", scores, "--by", "tails", "--budget", 50)
    order = np.lexsort((np.arange(len(tails)), -tails))[:50]
    assert [one["row"] for one in listed["flags"]] == order.tolist()
    assert [one["tails"] for one in listed["flags"]] == (tails[order] / ONE).tolist()
    held_out = np.sort(file["/calibration/tails"][:])
    p = (1 + len(held_out) - np.searchsorted(held_out, tails[order])) / (len(held_out) + 1)
    assert [one["p"]["tails"] for one in listed["flags"]] == pytest.approx(p.tolist(), rel=1e-12)
    # In the combination, too; by default with no weight.
    weights = {"forest": 2, "tails": 1}
    listed = program.ok_json("flag", scores, "--weights", "forest=2,tails=1", "--budget", 50)
    assert listed["weights"] == {"forest": 2, "deviation": 0, "joint": 0, "tails": 1}
    combined = Calibration(scores, weights).rows(scores)["combined"]
    assert {one["row"] for one in listed["flags"]} == set(np.argsort(-combined, kind="stable")[:50].tolist())
    default = program.ok("flag", scores, "--budget", 50).stdout
    csv = program.ok("flag", scores, "--budget", 50, "--csv").stdout.splitlines()
    assert csv[0].endswith("p_tails,p_combined,tails,p_by,p_group,p_rows,selected_by")
    # Without tails nothing is told of them, the list is the same, and none can be made by them.
    program.ok("fit", labelled.path, "--seed", 4, "--force", "--out", tmp_path / "model.h5")
    program.ok("score", "--model", tmp_path / "model.h5", labelled.path, "--force", "--out", scores)
    with h5py.File(scores) as plain:
        assert "tails" not in plain["/scores"] and "tails" not in plain["/calibration"]
    assert program.ok("flag", scores, "--budget", 50).stdout == default
    assert "tails" not in program.ok("flag", scores, "--budget", 5, "--csv").stdout.splitlines()[0]
    listed = program.ok_json("flag", scores, "--budget", 5)
    assert "tails" not in listed["weights"] and "tails" not in listed["flags"][0]["p"]
    for options in (("--by", "tails"), ("--weights", "forest=1,tails=1")):
        sentence = program.fails(program.WRONG_USAGE, "flag", scores, *options, names=[scores])
        assert "--tails" in sentence


def explained(folder, *options):
    return program.ok_json("explain", folder / "scores.h5", "--model", folder / "model.h5", *options)


def test_reasons_and_words_by_tails(tmp_path):
    rows = 20_000
    random = np.random.default_rng(6)
    values = np.stack([np.round(random.lognormal(9, 1, rows), -1), random.normal(size=rows), random.standard_t(3, rows),
                       random.integers(0, 9, rows)], axis=1).astype(np.float32)
    values[7] = [9e6, 0, 0, 4]
    values[8, 1:3] = [-3.2, np.nan]
    path = write(tmp_path / "batch.h5", values)
    model, scores = fit_and_score(path, tmp_path, "--trees", 30)
    tails = scores["/scores/tails"][:]
    said = 0
    for case in explained(tmp_path, "--rows", "0..200", "--reasons", 99, "--by", "tails"):
        row = case["row"]
        assert case["scores"]["tails"] == tails[row] / ONE
        parts = {reason["feature"]: reason for reason in case["reasons"]}
        assert sum(reason["tails"] for reason in case["reasons"]) * ONE == tails[row]  # exactly
        for f, reason in ((f, parts[f"x{f}"]) for f in range(4) if f"x{f}" in parts):
            x, column = values[row, f], values[:, f][np.isfinite(values[:, f])]
            if np.isnan(x):
                assert reason["tails"] == 0 and reason["tail_rows"] is None and reason["tail_of"] is None
                continue
            assert reason["share"] == pytest.approx(reason["tails"] * ONE / tails[row])
            known, true = reason["tail_rows"], min((column <= x).sum(), (column >= x).sum())
            assert reason["tail_of"] == len(column) and true <= known <= max(2 * true, 1.5 * true + 1)
            bits = np.log2(len(column) / true) if true else np.log2(len(column) + 1)
            assert -0.5 / ONE <= reason["tails"] - bits <= STEP + 0.5 / ONE
        first = case["reasons"][0]
        told = re.search(r"(higher|lower) than in all but 1 in ([\d,]+) rows", case["words"]["en"][0])
        if told:
            said += 1
            column = values[:, int(first["feature"][1:])]
            x = values[row, int(first["feature"][1:])]
            true = (column >= x).sum() if told[1] == "higher" else (column <= x).sum()
            assert true / first["tail_of"] <= 1 / int(told[2].replace(",", "")) <= 1 / 20
            assert "bare 1 av" in case["words"]["nb"][0] and "berre 1 av" in case["words"]["nn"][0]
        else:
            assert "than in all but" not in case["words"]["en"][0]
    assert said > 20


def test_what_would_make_it_ordinary_by_tails(tmp_path):
    """On either side of the border that is told, the row as it would be is scored by avvik itself."""
    values = mixed(4000)
    values = values[np.isfinite(values).all(axis=1)]
    path = write(tmp_path / "batch.h5", values)
    fit_and_score(path, tmp_path, "--trees", 30)
    flags = tmp_path / "flags.json"
    for options in (("--by", "tails"), ("--weights", "forest=2,tails=3")):
        flags.write_text(program.ok("flag", tmp_path / "scores.h5", "--budget", 30, "--json", *options).stdout)
        cases = explained(tmp_path, "--flagged", flags)
        tried, wanted = [], []
        for case in cases:
            for change in case["counterfactual"]["one"] or []:
                f = int(change["feature"][1:])
                for is_ordinary in (True, False):
                    row = values[case["row"]].copy()
                    edge = np.float32(change["value"])
                    before = np.nextafter(edge, np.float32(-np.inf))
                    row[f] = edge if (change["direction"] == "from") == is_ordinary else before
                    tried.append(row)
                    wanted.append(is_ordinary)
        assert len(tried) > 20
        program.ok("score", "--model", tmp_path / "model.h5", write(tmp_path / "tried.h5", np.array(tried)), "--force",
                   "--out", tmp_path / "tried_scores.h5")
        by = "tails" if options[0] == "--by" else "combined"
        weights = None if by == "tails" else {"forest": 2, "tails": 3}
        found = Calibration(tmp_path / "scores.h5", weights).rows(tmp_path / "tried_scores.h5")[by]
        cut = cases[0]["cut"]["score"] * (ONE if by == "tails" else 1)
        assert [score < cut - 1e-9 for score in found] == wanted or by == "combined"
        assert all((score < cut + 1e-9) == is_ordinary or abs(score - cut) < 1e-6 for score, is_ordinary in zip(found, wanted))
