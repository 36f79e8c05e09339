"""avvik-bench: what it makes of documents it has written, and of others: compare, join, floors, plots; against NumPy and SciPy."""

import json
import random
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import scipy.stats

import program
from benching import SLOWER, bench, bench_fails, bench_ok, write

pytestmark = pytest.mark.xdist_group("bench")  # its documents are measured once


# --- compare ---


def document_of(measurements, **build):
    """A document with the times (seconds) of each name."""
    results = [{"name": name, "variant": "avx2", "layout": "", "types": "", "features": 16, "rows": 1000, "trees": 0,
                "sample": 0, "threads": 1, "samples_s": [float(x) for x in times]} for name, times in measurements.items()]
    return {"schema": "avvik-bench 2", "subject": "kernels", "when": "2026-01-02T03:04:05Z",
            "build": {"commit": "abc", "compiler": "GNU 12.2.0"} | build, "machine": {"cpu": "a CPU"}, "results": results}


def compared(tmp_path, old, new, *options, code=0):
    paths = write(tmp_path / "old.json", document_of(old)), write(tmp_path / "new.json", document_of(new))
    result = bench("compare", *paths, "--json", *options)
    assert result.returncode == code, result.stdout + result.stderr
    return json.loads(result.stdout)["measurements"]


def rejects(old, new, ratio):
    """p of SciPy's exact test of Mann and Whitney that new is ratio times old."""
    return scipy.stats.mannwhitneyu(np.log(new), np.log(old) + np.log(ratio), method="exact").pvalue


@pytest.mark.parametrize("sizes", [(4, 4), (5, 5), (4, 9), (7, 5), (21, 21), (13, 30)])
def test_the_interval_is_what_scipy_does_not_reject(tmp_path, sizes):
    generator = np.random.default_rng(sizes)
    old = {f"k{i}": generator.lognormal(-3, 0.3, sizes[0]) for i in range(8)}
    new = {f"k{i}": generator.lognormal(-3 + 0.05 * i, 0.2, sizes[1]) for i in range(8)}
    lines = compared(tmp_path, old, new, "--limit", 1000)
    assert len(lines) == 8
    for i, line in enumerate(lines):
        a, b = old[f"k{i}"], new[f"k{i}"]
        shifts = (np.log(b)[:, None] - np.log(a)[None, :]).ravel()
        np.testing.assert_allclose(line["ratio"], np.exp(np.median(shifts)), rtol=1e-5)
        step = 1e-4 * np.ptp(shifts) / len(shifts)
        for end, inwards in ((line["low"], 1 + step), (line["high"], 1 / (1 + step))):
            nearest = np.exp(shifts[np.argmin(np.abs(shifts - np.log(end)))])
            np.testing.assert_allclose(end, nearest, rtol=1e-5)
            assert rejects(a, b, nearest * inwards) > 0.05
            assert rejects(a, b, nearest / inwards) <= 0.05
        np.testing.assert_allclose(1 - line["confidence"], rejects(a, b, nearest * (1 + step)), rtol=1e-3)


def test_the_interval_covers_the_truth(tmp_path):
    generator = np.random.default_rng(5)
    old = {f"k{i}": 1 + generator.exponential(0.2, 15) for i in range(400)}
    new = {f"k{i}": 1.3 * (1 + generator.exponential(0.2, 15)) for i in range(400)}
    lines = compared(tmp_path, old, new, "--limit", 1000)
    covered = sum(line["low"] <= 1.3 <= line["high"] for line in lines)
    assert scipy.stats.binom.cdf(covered, 400, 0.95) > 1e-4
    assert covered < 400


def test_a_regression_that_may_be_chance_is_none(tmp_path):
    old = {"a": [1, 1.01, 1.02, 1.03, 1.04, 1.05]}
    new = {"a": [1.011, 1.021, 1.2, 1.25, 1.3, 1.35]}
    (line,) = compared(tmp_path, old, new, "--limit", 10)
    assert line["ratio"] > 1.15 and line["verdict"] == "same"
    assert rejects(old["a"], new["a"], 1.1) > 0.05


def test_a_regression_beyond_the_limit_ends_with_7(tmp_path):
    generator = np.random.default_rng(1)
    old = {name: 1 + generator.exponential(0.02, 10) for name in ("a", "b")}
    slower = {"a": old["a"], "b": old["b"][::-1] * 1.3}
    verdicts = [line["verdict"] for line in compared(tmp_path, old, slower, "--limit", 10, code=SLOWER)]
    assert verdicts == ["same", "slower"]
    assert [line["verdict"] for line in compared(tmp_path, old, slower, "--limit", 40)] == ["same", "same"]
    assert [line["verdict"] for line in compared(tmp_path, slower, old)] == ["same", "faster"]
    noisy = {"a": old["a"], "b": np.r_[old["b"][:7] * 0.98, old["b"][7:] * 3]}
    assert [line["verdict"] for line in compared(tmp_path, old, noisy)] == ["same", "same"]


def test_three_samples_are_too_few_for_a_verdict(tmp_path):
    old, new = {"a": [1, 1.01, 1.02]}, {"a": [5, 5.01, 5.02]}
    (line,) = compared(tmp_path, old, new)
    assert line["verdict"] == "too few samples"
    np.testing.assert_allclose(1 - line["confidence"], scipy.stats.mannwhitneyu([5, 6, 7], [1, 2, 3]).pvalue)


def test_a_run_is_the_same_as_itself(tmp_path, kernels):
    path = write(tmp_path / "run.json", kernels)
    text = bench_ok("compare", path, path, "--limit", 0)
    n = len(kernels["results"])
    assert f"{n} compared: 0 slower" in text and f"{n} the same" in text


# --- documents that are none ---


def changed(document, **values):
    document["results"][0] |= values
    return document


BAD = {
    "schema": (document_of({"a": [1]}) | {"schema": "avvik-bench 1"}, ["avvik-bench 1", "avvik-bench 2"]),
    "no schema": ({"results": []}, ["none", "avvik-bench 2"]),
    "list": ([], ["avvik-bench 2"]),
    "no JSON": ("{", ["line 1"]),
    "empty": ("", ["line 1"]),
    "no build": ({k: v for k, v in document_of({"a": [1]}).items() if k != "build"}, ["build"]),
    "results": (document_of({"a": [1]}) | {"results": 5}, ["results"]),
    "no samples": (changed(document_of({"a": [1]}), samples_s=[]), ["samples_s", "a"]),
    "text": (changed(document_of({"a": [1]}), samples_s=["fast"]), ["samples_s"]),
    "negative": (changed(document_of({"a": [1]}), samples_s=[-1.0]), ["samples_s"]),
    "too many": (changed(document_of({"a": [1]}), samples_s=[1.0] * 65), ["samples_s", "64"]),
    "count": (changed(document_of({"a": [1]}), rows=-4), ["negative"]),
    "type": (changed(document_of({"a": [1]}), rows="many"), ["measurement 0"]),
    "twice": (document_of({"a": [1]}) | {"results": document_of({"a": [1]})["results"] * 2}, ["two measurements", "a avx2"]),
}


@pytest.mark.parametrize("what", BAD)
def test_a_wrong_document_is_refused_with_a_sentence(tmp_path, what):
    document, names = BAD[what]
    good, bad = write(tmp_path / "good.json", document_of({"a": [1]})), write(tmp_path / "bad.json", document)
    for arguments in (("compare", good, bad), ("compare", bad, good), ("join", bad),
                      ("plot", bad, "--out", tmp_path / "x.svg")):
        bench_fails(program.BAD_INPUT, *arguments, names=["bad.json", *names])
    assert not (tmp_path / "x.svg").exists()


def test_damaged_documents_never_end_in_a_crash(tmp_path, stream):
    text, generator = json.dumps(stream), random.Random(3)
    good, bad = write(tmp_path / "good.json", text), tmp_path / "bad.json"
    for _ in range(60):
        data = bytearray(text.encode())
        for _ in range(generator.randint(1, 4)):
            data[generator.randrange(len(data))] = generator.choice(b'0123456789-"[]{},:e\x00\xff')
        bad.write_bytes(data[:generator.randrange(len(data))] if generator.random() < 0.3 else data)
        assert bench("compare", good, bad).returncode in (0, program.BAD_INPUT, SLOWER)
        assert bench("plot", bad, "--out", tmp_path / "x.svg").returncode in (0, program.BAD_INPUT)


def test_runs_with_nothing_in_common(tmp_path):
    paths = write(tmp_path / "a.json", document_of({"a": [1]})), write(tmp_path / "b.json", document_of({"b": [1]}))
    result = bench("compare", *paths)
    assert result.returncode == program.BAD_INPUT and "no measurement in common" in result.stderr
    bench_fails(program.BAD_INPUT, "compare", paths[0], tmp_path / "none.json", names=["none.json"])


def test_join_puts_runs_of_one_commit_together(tmp_path, kernels, stream):
    paths = write(tmp_path / "k.json", kernels), write(tmp_path / "s.json", stream)
    joined = json.loads(bench_ok("join", *paths))
    assert joined["results"] == kernels["results"] + stream["results"]
    assert joined["machine"] == kernels["machine"]
    other = write(tmp_path / "o.json", document_of({"a": [1]}, commit="def"))
    bench_fails(program.BAD_INPUT, "join", paths[0], other, names=["another commit"])
    bench_fails(program.BAD_INPUT, "join", paths[0], paths[0], names=["both have"])


# --- floors ---


def floors(path, *entries):
    return write(path, {"floors": [dict(zip(("kernel", "variant", "features", "ratio"), entry)) for entry in entries]})


def test_floors(tmp_path):
    arguments = ("kernels", "--quick", "--only", "deviation", "--features", 16, "--check")
    low = floors(tmp_path / "low.json", ("deviation", "scalar", 16, 0.5), ("deviation", "other", 16, 99))
    result = bench(*arguments, low)
    assert result.returncode == 0 and "1 ratios compared" in result.stderr
    high = floors(tmp_path / "high.json", ("deviation", "scalar", 16, 1e6))
    result = bench(*arguments, high)
    assert result.returncode == SLOWER
    assert "deviation scalar at 16 features is 1.00 times scalar, less than 1000000.00" in result.stderr
    for wrong, words in ((floors(tmp_path / "none.json"), "no floor for anything"),
                         (floors(tmp_path / "text.json", ("deviation", "scalar", "x", 1)), "floor 0"),
                         (tmp_path / "missing.json", "missing.json")):
        result = bench(*arguments, wrong)
        assert result.returncode == program.BAD_INPUT and words in result.stderr


def test_floors_of_the_tree_are_of_kernels_and_backends_that_exist():
    listed = json.loads((program.ROOT / "bench" / "baseline" / "floors.json").read_text(encoding="utf-8"))["floors"]
    text = (program.ROOT / "kernels" / "kernels.def").read_text(encoding="utf-8")
    known = set(re.findall(r"^AVVIK_KERNEL\((\w+), (\w+),", text, re.MULTILINE))
    known |= {("engine", variant) for _, variant in known} | {("engine", "opencl")}
    assert listed and all((floor["kernel"], floor["variant"]) in known and floor["ratio"] >= 1 for floor in listed)


# --- plot ---

SVG = "{http://www.w3.org/2000/svg}"


def drawn(path):
    """Title of each panel -> list of (points, label) of its lines."""
    panels = {}
    for panel in ElementTree.parse(path).getroot().iter(f"{SVG}g"):
        texts = [(text.get("class"), text.text) for text in panel.iter(f"{SVG}text")]
        lines = [np.array([point.split(",") for point in line.get("points").split()], dtype=float)
                 for line in panel.iter(f"{SVG}polyline")]
        panels[texts[0][1]] = lines, sorted(text for kind, text in texts if "name" in (kind or ""))
    return panels


def runs_of(rates, commit):
    """Three variants over features, each 8 samples around the rate in M rows/s."""
    generator = np.random.default_rng(2)
    results = []
    for (variant, features), rate in rates.items():
        times = 1000 / (rate * 1e6) * (1 + generator.uniform(0, 0.02, 8))
        results.append({"name": "engine", "variant": variant, "layout": "", "types": "", "features": features,
                        "rows": 1000, "trees": 100, "sample": 256, "threads": 1, "samples_s": times.tolist()})
    return document_of({}, commit=commit) | {"results": results}


def test_the_plot_shows_the_medians(tmp_path):
    rates = {(variant, features): speed * 100 / features for variant, speed in (("scalar", 1), ("avx2", 9), ("<&>", 3))
             for features in (8, 16, 17, 64)}
    old, new = runs_of(rates, 'a"<b'), runs_of({key: 2 * rate for key, rate in rates.items()}, "fedcba987654")
    out = tmp_path / "x.svg"
    bench_ok("plot", write(tmp_path / "a.json", old), write(tmp_path / "b.json", new), "--out", out)
    assert {path.name for path in tmp_path.iterdir()} == {"a.json", "b.json", "x.svg"}
    panels = drawn(out)
    assert set(panels) == {"Over commits", "Over features"}
    medians = {(r["variant"], r["features"]): 1e-3 / np.median(r["samples_s"]) for r in new["results"]}
    lines, labels = panels["Over features"]
    assert len(lines) == 3
    expected = [(f"{value:.1f}" if value >= 9.95 else f"{value:.2f}") for value in
                (medians[variant, 64] for variant in ("<&>", "avx2", "scalar"))]
    assert labels == [f"{name}  {value}" for name, value in zip(("<&>", "avx2", "scalar"), expected)]
    points = {variant: line for variant, line in zip(("scalar", "avx2", "<&>"), lines)}
    everything = np.vstack([points[variant] for variant, _ in rates][::4])
    logs = np.array([[np.log(features), np.log(medians[variant, features])] for variant in points
                     for features in (8, 16, 17, 64)])
    for axis in (0, 1):  # both axes are logarithmic
        slope, intercept = np.polyfit(logs[:, axis], everything[:, axis], 1)
        np.testing.assert_allclose(everything[:, axis], slope * logs[:, axis] + intercept, atol=0.11)
        assert (slope > 0) == (axis == 0)
    for line in panels["Over commits"][0]:
        assert len(line) == 2 and line[1, 1] < line[0, 1] - 5


def test_a_plot_of_a_real_run(tmp_path, kernels):
    out = tmp_path / "x.svg"
    bench_ok("plot", write(tmp_path / "run.json", kernels), "--out", out)
    lines, _ = drawn(out)["Over features"]
    assert len(lines) >= 1 and all(len(line) >= 5 for line in lines)


def test_a_plot_of_nothing(tmp_path):
    path = write(tmp_path / "a.json", document_of({"a": [1]}))
    bench_fails(program.BAD_INPUT, "plot", path, "--out", tmp_path / "x.svg", names=["a.json", "nothing that varies"])
    bench_fails(program.WRONG_USAGE, "plot", path, names=["--out"])
    both = [write(tmp_path / name, runs_of({("avx2", 8): 1, ("avx2", 9): 2}, name)) for name in ("b.json", "c.json")]
    bench_fails(program.BAD_INPUT, "plot", *both, "--out", tmp_path / "no" / "x.svg", names=["no/x.svg"])


def test_a_plot_of_the_peers(tmp_path):
    source, out = program.ROOT / "bench" / "baseline" / "peers.json", tmp_path / "x.svg"
    bench_ok("plot", source, "--out", out)
    report = json.loads(source.read_text(encoding="utf-8"))
    entries = [entry for entry in report["memory"] if entry["cores"] == 1]
    rates = {f"{e['name']} {e['version'] or ''}".strip(): report["rows"] / min(e["seconds"]) / 1e6 for e in entries}
    texts = [text.text for text in ElementTree.parse(out).getroot().iter(f"{SVG}text")][3:]
    names, values = texts[::2], texts[1::2]
    assert names == sorted(rates, key=rates.get, reverse=True)
    for name, value in zip(names, values):
        np.testing.assert_allclose(float(value.split()[0]), rates[name], atol=0.051)
    bars = [rect for rect in ElementTree.parse(out).getroot().iter(f"{SVG}rect")][1:]
    widths = np.array([float(bar.get("width")) for bar in bars])
    slope, intercept = np.polyfit(np.log([rates[name] for name in names]), widths, 1)
    np.testing.assert_allclose(widths, slope * np.log([rates[name] for name in names]) + intercept, atol=0.11)
    assert [bar.get("class") == bars[0].get("class") for bar in bars] == [name.startswith("avvik") for name in names]
    for change in ({"rows": "many"}, {"memory": []}, {"memory": [{"name": "x"}]}, {"machine": {}}):
        path = write(tmp_path / "bad.json", report | change)
        bench_fails(program.BAD_INPUT, "plot", path, "--out", tmp_path / "y.svg", names=["bad.json"])
