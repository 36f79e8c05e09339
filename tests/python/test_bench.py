"""avvik-bench: what it writes, and what it makes of what it reads, against NumPy, SciPy and the machine itself."""

import itertools
import json
import os
import pathlib
import random
import re
import resource
import shutil
import subprocess
import time
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import scipy.stats

import program

BENCH = pathlib.Path(program.AVVIK).parent / "bench" / "avvik-bench"
SLOWER = 7
LISTS = ("features", "rows", "trees", "sample", "threads")


def bench(*arguments, env=None, **options):
    return subprocess.run([BENCH, *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8",
                          env=env or program.environment(), timeout=300, check=False, **options)


def bench_ok(*arguments, **options):
    result = bench(*arguments, **options)
    assert result.returncode == 0, f"{arguments}\n{result.returncode}\n{result.stdout}{result.stderr}"
    return result.stdout


def bench_fails(code, *arguments, names=(), **options):
    """One sentence on stderr with all of `names`, nothing on stdout."""
    result = bench(*arguments, **options)
    told = f"{arguments}\n{result.returncode}\n{result.stdout}{result.stderr}"
    assert result.returncode == code, told
    lines = result.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("avvik-bench: ") and result.stdout == "", told
    for name in names:
        assert str(name) in lines[0], told


# --- documents of this machine ---


@pytest.fixture(scope="module")
def kernels():
    return json.loads(bench_ok("kernels", "--quick", "--seed", 7, "--json"))


def cpu_variants():
    """(kernel, variant) of kernels.def that this CPU can run, by what the kernel says of it."""
    text = pathlib.Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    flags = set(re.search(r"^flags\s*:(.*)$", text, re.MULTILINE).group(1).split())
    bits = {"AVVIK_CPU_AVX2": {"avx2"}, "AVVIK_CPU_AVX512": {"avx512f", "avx512dq", "avx512bw", "avx512vl"},
            "AVVIK_CPU_AVX512VBMI": {"avx512vbmi"}, "0": set()}
    listed = (program.ROOT / "kernels" / "kernels.def").read_text(encoding="utf-8")
    for kernel, variant, needs in re.findall(r"^AVVIK_KERNEL\((\w+), (\w+), ([^)]+)\)", listed, re.MULTILINE):
        if all(bits[need.strip()] <= flags for need in needs.split("|")):
            yield kernel, variant


def test_every_variant_and_every_backend_is_measured(kernels):
    found = {(r["name"], r["variant"], r["features"]) for r in kernels["results"]}
    for kernel, variant in cpu_variants():
        wide = kernel.endswith("_wide")
        for features in (8, 16, 17, 32, 64, 65, 100):
            if kernel.startswith("forest_path") and wide != (features > 64):
                continue
            if kernel == "forest_reasons" and features > 64:  # its vectors take packed nodes
                continue
            if (kernel == "deviation_joint" or kernel.startswith("joint_")) and features > 64:  # AVVIK_JOINT_FEATURES
                continue
            assert (kernel, variant, features) in found
    for device in program.ok_json("devices")["devices"]:
        alone = ["deviation", "fill_missing", "forest_path"] if device["backend"].startswith("opencl") else []
        for name in ["engine"] + alone:
            assert ((name, device["backend"], 16) in found) == device["available"], name


def on_a_device(result):
    """Is it a kernel of an OpenCL device, by the device's clock? Those are compared with nothing."""
    return result["variant"].startswith("opencl") and result["name"] != "engine"


def test_figures_follow_from_the_samples(kernels):
    scalar = {(r["name"], *(r[key] for key in LISTS)): r for r in kernels["results"] if r["variant"] == "scalar"}
    assert len(scalar) >= 30
    for r in kernels["results"]:
        samples = np.array(r["samples_s"])
        assert len(samples) == 5 and (samples > 0).all()
        np.testing.assert_allclose(r["best_rows_per_s"], r["rows"] / samples.min(), rtol=1e-4)
        np.testing.assert_allclose(r["median_rows_per_s"], r["rows"] / np.median(samples), rtol=1e-4)
        if not on_a_device(r):
            reference = np.array(scalar[r["name"], *(r[key] for key in LISTS)]["samples_s"])
            np.testing.assert_allclose(r["times"]["scalar"], reference.min() / samples.min(), rtol=1e-4)
        if r["trees"]:
            np.testing.assert_allclose(r["ns_per_row_tree"], samples.min() * 1e9 / r["rows"] / r["trees"], rtol=1e-4)


def test_shares_follow_from_the_limits(kernels):
    limits = kernels["machine"]["limits"]
    assert all(rate > 0 for rate in limits["copy_gb_per_s"] + limits["read_gb_per_s"])
    for r in kernels["results"]:
        best = min(r["samples_s"])
        if on_a_device(r):
            assert r["limit"] == "none" and r["share_of_limit"] == 0
            continue
        if r["limit"] == "gather":
            height = int(np.ceil(np.log2(r["sample"])))
            lookup_ns = min(ns for ns in limits["lookups_16_ns"].values() if ns > 0) / 16
            expected = r["rows"] * r["trees"] * height * lookup_ns * 1e-9 / best / r["threads"]
        else:
            moved = r["gb_per_s"] * best * 1e9
            size = next((i for i, size in enumerate(limits["size_bytes"]) if size >= moved * 0.9999), -1)
            expected = r["gb_per_s"] / limits[f"{r['limit']}_gb_per_s"][size]
        np.testing.assert_allclose(r["share_of_limit"], expected, rtol=1e-3, err_msg=str(r))


def test_a_document_says_where_it_comes_from(kernels):
    cpuinfo = pathlib.Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    machine, build = kernels["machine"], kernels["build"]
    assert kernels["schema"] == "avvik-bench 2" and kernels["subject"] == "kernels"
    assert f": {machine['cpu']}\n" in cpuinfo
    assert machine["cores"] == os.cpu_count() and machine["cores_allowed"] == len(os.sched_getaffinity(0))
    assert machine["memory_bytes"] == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGESIZE")
    assert os.uname().release in machine["kernel"]
    assert kernels["options"]["seed"] == 7
    assert "-ffp-contract=off" in build["flags"].split()
    assert f"avvik {build['avvik']}" in program.ok("--version").stdout
    devices = {d["backend"]: d for d in program.ok_json("devices")["devices"] if d["available"]}
    for device in machine["devices"]:
        assert device["driver"] == devices.pop(device["backend"])["name"]
    assert not any(name.startswith("opencl") for name in devices)
    if build["commit"] != "unknown":
        commit = build["commit"].removesuffix("-dirty")
        subprocess.run(["git", "-C", program.ROOT, "cat-file", "-e", commit], check=True)


def test_every_combination_of_a_grid():
    document = json.loads(bench_ok("kernels", "--grid", "--features", "17,65", "--trees", "1,101", "--sample", "16,64",
                                   "--rows", "1024,4096", "--threads", "1,2", "--samples", 1, "--only",
                                   "forest_path,forest_path_wide,engine", "--backends", "scalar", "--json"))
    found = {(r["name"], *(r[key] for key in LISTS)) for r in document["results"] if r["variant"] == "scalar"}
    expected = set()
    for features, rows, trees, sample in itertools.product((17, 65), (1024, 4096), (1, 101), (16, 64)):
        expected.add(("forest_path" if features <= 64 else "forest_path_wide", features, rows, trees, sample, 1))
        expected |= {("engine", features, rows, trees, sample, threads) for threads in (1, 2)}
    assert found == expected


def test_all_opencl_devices_can_share_the_work():
    if not any(device["backend"].startswith("opencl:") for device in program.ok_json("devices")["devices"]):
        pytest.skip("OpenCL has no device here")
    document = json.loads(bench_ok("kernels", "--quick", "--only", "engine", "--backends", "scalar,opencl:all", "--json"))
    assert [r["variant"] for r in document["results"]] == ["scalar", "opencl:all"]
    stages = document["results"][1]["stages_s"]
    assert {"pack", "send", "forest_path", "receive", "span"} <= set(stages) and stages["forest_path"] > 0


LAZY_OPENCL = """
#define _GNU_SOURCE
#include <CL/cl.h>
#include <dlfcn.h>
cl_int clEnqueueNDRangeKernel(cl_command_queue queue, cl_kernel kernel, cl_uint dimensions, const size_t *offset,
                              const size_t *global, const size_t *local, cl_uint n, const cl_event *wait, cl_event *event)
{
    cl_int (*real)() = (cl_int(*)())dlsym(RTLD_NEXT, "clEnqueueNDRangeKernel");
    size_t half = *global / 2;
    if (local)
        half -= half % *local;
    return real(queue, kernel, dimensions, offset, *global > LARGE && half ? &half : global, local, n, wait, event);
}
"""


@pytest.mark.slow
@pytest.mark.parametrize("large", [0, 4096])
def test_wrong_results_are_never_timed(tmp_path, large):
    """A driver that does half of the work: of every kernel, or of large ones only, which no self-test sees."""
    opencl = [device for device in program.ok_json("devices")["devices"] if device["backend"] == "opencl:0.0"]
    if not opencl or not opencl[0]["available"] or shutil.which("cc") is None:
        pytest.skip("no OpenCL device, or no compiler")
    (tmp_path / "lazy.c").write_text(LAZY_OPENCL.replace("LARGE", str(large)), encoding="utf-8")
    subprocess.run(["cc", "-w", "-shared", "-fPIC", "-DCL_TARGET_OPENCL_VERSION=120", "-o", tmp_path / "lazy.so",
                    tmp_path / "lazy.c", "-ldl"], check=True)
    result = bench("kernels", "--only", "engine", "--features", 16, "--trees", 100, "--sample", 256, "--threads", 1, "--rows",
                   200000, "--samples", 1, "--backends", "opencl:0.0", "--folder", tmp_path,
                   env=program.environment(LD_PRELOAD=str(tmp_path / "lazy.so")))
    assert result.returncode == program.SELFTEST_FAILED and result.stdout == "", result.stdout + result.stderr
    assert "opencl" in result.stderr and "scalar" in result.stderr


@pytest.fixture(scope="module")
def stream(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stream")
    document = json.loads(bench_ok("stream", "--rows", 70001, "--features", 6, "--trees", 10, "--samples", 4, "--types",
                                   "float32,mixed", "--folder", folder, "--json"))
    assert list(folder.iterdir()) == []
    return document


def test_stream_measures_every_layout_and_type(stream):
    names = [r["name"] for r in stream["results"]]
    assert {(r["layout"], r["types"]) for r in stream["results"]} == set(
        itertools.product(("contiguous", "chunked", "deflate"), ("float32", "mixed")))
    for name in ("pread", "H5Dread", "read", "fit"):
        assert names.count(name) == 6
    opencl = [device["backend"] for device in stream["machine"]["devices"]]
    variants = [r["variant"] for r in stream["results"] if r["name"] == "score"]
    for backend in opencl:
        assert variants.count(backend) == 6
    assert len(variants) == 6 * (len(opencl) + 1)


def test_stream_figures_follow_from_the_samples(stream):
    row_bytes = {"float32": 6 * 4, "mixed": 4 + 8 + 8 + 4 + 2 + 4}
    for r in stream["results"]:
        like = [other for other in stream["results"] if (other["layout"], other["types"]) == (r["layout"], r["types"])]
        best = min(r["samples_s"])
        bare = {other["name"]: min(other["samples_s"]) for other in like if other["name"] in ("pread", "H5Dread")}
        if r["name"] != "pread":
            np.testing.assert_allclose(r["gb_per_s"], 70001 * row_bytes[r["types"]] / best / 1e9, rtol=1e-4)
            np.testing.assert_allclose(r["times"]["pread"], bare["pread"] / best, rtol=1e-4)
        if r["name"] not in ("pread", "H5Dread"):
            np.testing.assert_allclose(r["times"]["H5Dread"], bare["H5Dread"] / best, rtol=1e-4)
        if r["name"] in ("fit", "score"):
            stages = r["stages_s"]
            assert {"read", "work"} <= set(stages) and all(seconds >= 0 for seconds in stages.values())
            assert ("decode" in stages) == (r["layout"] == "deflate")
            assert max(stages.values()) <= best * max(r["threads"], 1) * 1.01 + 1e-3
            assert 1 < r["peak_mib"] < 4096


@pytest.mark.slow
def test_a_stream_takes_bounded_memory(tmp_path):
    rows, features = 12_000_000, 16
    file_bytes = rows * features * 4
    limit = int(file_bytes * 0.9)  # of anonymous memory, while the rows are made, too
    document = json.loads(bench_ok("stream", "--rows", rows, "--features", features, "--samples", 1, "--layout",
                                   "contiguous", "--types", "float32", "--trees", 1, "--backends", "avx2", "--folder",
                                   tmp_path, "--json",
                                   preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))))
    for r in document["results"]:
        assert r["peak_mib"] < file_bytes / 2**20 / 2


# --- compare ---


def document_of(measurements, **build):
    """A document with the times (seconds) of each name."""
    results = [{"name": name, "variant": "avx2", "layout": "", "types": "", "features": 16, "rows": 1000, "trees": 0,
                "sample": 0, "threads": 1, "samples_s": [float(x) for x in times]} for name, times in measurements.items()]
    return {"schema": "avvik-bench 2", "subject": "kernels", "when": "2026-01-02T03:04:05Z",
            "build": {"commit": "abc", "compiler": "GNU 12.2.0"} | build, "machine": {"cpu": "a CPU"}, "results": results}


def write(path, document):
    path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
    return path


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


# --- the command line ---


@pytest.mark.parametrize("arguments, names", [
    (("kernels", "--rows", "many"), ["--rows", "many"]),
    (("kernels", "--features", "0"), ["--features"]),
    (("kernels", "--features", "8,,9"), ["--features"]),
    (("kernels", "--samples", "65"), ["--samples", "64"]),
    (("kernels", "--layout", "chunked"), ["--layout"]),
    (("kernels", "--nonsense"), ["--nonsense"]),
    (("kernels", "--rows"), ["--rows"]),
    (("kernels", "extra"), ["extra"]),
    (("kernels", "--only", "nothing"), ["nothing"]),
    (("stream", "--layout", "spiral"), ["spiral"]),
    (("compare", "one.json"), ["two documents"]),
    (("join",), ["documents"]),
])
def test_wrong_usage(arguments, names):
    bench_fails(program.WRONG_USAGE, *arguments, names=names)


def test_unknown_backends_and_folders(tmp_path):
    bench_fails(program.NO_BACKEND, "stream", "--quick", "--backends", "gpu9000", names=["gpu9000"])
    bench_fails(program.BAD_INPUT, "stream", "--quick", "--folder", tmp_path / "none", names=["none", "--folder"])
    bench_fails(program.BAD_INPUT, "stream", "--rows", 2**36, "--features", 4096, names=["room"])


def test_help_names_every_subject():
    text = bench_ok("--help")
    for subject in ("kernels", "stream", "machine", "compare", "plot", "join", "peers"):
        assert f"\n  {subject} " in text
    assert bench().returncode == program.WRONG_USAGE
    assert "--limit PERCENT" in bench_ok("compare", "--help")


def test_peers_runs_the_script_of_the_tree(tmp_path):
    script = tmp_path / "bench" / "peers" / "run_peers.sh"
    script.parent.mkdir(parents=True)
    script.write_text('echo "$#:$1:$2"; exit 9\n', encoding="utf-8")
    result = bench("peers", "--rows", "a b", cwd=tmp_path)
    assert (result.returncode, result.stdout) == (9, "2:--rows:a b\n")


@pytest.mark.parametrize("rows, ending", [(20_000_000, "rows.h5"), (1_000_000, "scores.h5.partial")])
def test_an_interrupted_run_leaves_no_file(tmp_path, rows, ending):
    with subprocess.Popen([BENCH, "stream", "--rows", str(rows), "--backends", "scalar", "--layout", "contiguous",
                           "--folder", tmp_path], stdout=subprocess.DEVNULL, env=program.environment()) as process:
        while process.poll() is None and not any(path.name.endswith(ending) for path in tmp_path.iterdir()):
            time.sleep(0.01)
        process.terminate()
        assert process.wait(60) == 128 + 15
    assert list(tmp_path.iterdir()) == []


# --- what a CI job on a GPU machine runs ---


def ci_gpu(tree, out, *arguments, build=None, **extra):
    """bench/ci-gpu.sh from a tree of its own, so that baselines can be put beside it."""
    (tree / "bench" / "baseline").mkdir(parents=True, exist_ok=True)
    shutil.copy(program.ROOT / "bench" / "ci-gpu.sh", tree / "bench")
    result = subprocess.run(["sh", tree / "bench" / "ci-gpu.sh", "--quick", "--build", build or pathlib.Path(program.AVVIK).parent,
                             "--out", out, *arguments], stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8",
                            env=program.environment(**extra), timeout=300, check=False)
    suite = ElementTree.parse(out / "junit.xml").getroot()
    cases = {case.get("name"): next((child.tag for child in case), "passed") for case in suite.iter("testcase")}
    assert len(cases) == int(suite.get("tests"))
    for kind, tag in (("failures", "failure"), ("skipped", "skipped")):
        assert int(suite.get(kind)) == sum(found == tag for found in cases.values())
    return result, cases


def has_gpu():
    return any(device["available"] and device["gpu"] for device in program.ok_json("devices")["devices"])


def measured_before(folder, measured):
    """A build folder whose avvik-bench has measured already: it gives these documents and does the rest as the real one does."""
    real = pathlib.Path(program.AVVIK).parent
    (folder / "bench").mkdir(parents=True)
    (folder / "avvik").symlink_to(real / "avvik")
    (folder / "bench" / "avvik-bench").write_text(
        f'#!/bin/sh\ncase $1 in kernels | stream) cat "{measured}/$1.json" ;; *) exec "{real}/bench/avvik-bench" "$@" ;; esac\n')
    (folder / "bench" / "avvik-bench").chmod(0o755)
    return folder


@pytest.mark.slow
def test_ci_gpu_measures_and_compares(tmp_path):
    """One run that measures; then with baselines, and with a driver that OpenCL was not told of, from what it has measured."""
    name = bench_ok("machine", "--name").strip()
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)
    first, out, tree = tmp_path / "first", tmp_path / "out", tmp_path / "tree"
    result, cases = ci_gpu(tree, first, "--cpu")
    assert result.returncode == 0, result.stdout + result.stderr
    assert cases == {"devices": "passed", "selftest": "passed", "kernels": "passed", "stream": "passed", "join": "passed",
                     "compare": "skipped"}
    assert f"no bench/baseline/{name}.json" in result.stdout
    measured = json.loads((first / f"{name}.json").read_text(encoding="utf-8"))
    assert {r["name"] for r in measured["results"]} >= {"forest_path", "engine", "fit", "score"}
    build = measured_before(tmp_path / "build", first)
    for r in measured["results"]:  # as if everything had been a hundred times as fast
        r["samples_s"] = [seconds / 100 for seconds in r["samples_s"]]
    write(tree / "bench" / "baseline" / f"{name}.json", measured)
    result, cases = ci_gpu(tree, out, "--cpu", "--limit", "50", build=build)
    assert result.returncode == SLOWER and cases["compare"] == "failure", result.stdout
    for r in measured["results"]:
        r["samples_s"] = [seconds * 10000 for seconds in r["samples_s"]]
    write(tree / "bench" / "baseline" / f"{name}.json", measured)
    result, cases = ci_gpu(tree, out, "--cpu", "--limit", "50", build=build)
    assert result.returncode == 0 and cases["compare"] == "passed", result.stdout

    registrations = list(pathlib.Path("/etc/OpenCL/vendors").glob("pocl*.icd"))
    if not registrations:
        return
    empty, temporary = tmp_path / "empty", tmp_path / "tmp"
    empty.mkdir()
    temporary.mkdir()
    driver = registrations[0].read_text(encoding="utf-8").strip()
    clean = {"AVVIK_ICD_FOLDER": str(empty), "TMPDIR": str(temporary), "OCL_ICD_VENDORS": ""}
    result, cases = ci_gpu(tree, out, "--cpu", build=build, AVVIK_ICD_DRIVER=driver, **clean)
    assert result.returncode == 0 and "it is registered for this run" in result.stdout, result.stdout
    assert re.search(r"^opencl:0\.0 +yes", (out / "devices.log").read_text(encoding="utf-8"), re.MULTILINE)
    assert cases["devices"] == cases["selftest"] == "passed" and list(temporary.iterdir()) == []


@pytest.mark.slow
def test_ci_gpu_wants_a_gpu(tmp_path):
    if has_gpu():
        pytest.skip("this machine has a GPU")
    (tmp_path / "empty").mkdir()
    for n, vendors in enumerate(({}, {"OCL_ICD_VENDORS": str(tmp_path / "empty")})):
        for name in ("kernels", "stream"):  # what else is asked for takes no time
            write(tmp_path / f"{name}.json", {"results": []})
        result, cases = ci_gpu(tmp_path / "tree", tmp_path / "out", build=measured_before(tmp_path / f"build{n}", tmp_path), **vendors)
        assert result.returncode == program.NO_BACKEND and cases["devices"] == "failure"
        assert "OpenCL has no GPU here" in result.stdout
