"""avvik-bench: what it measures and what is wrong to ask of it, against NumPy and the machine itself."""

import itertools
import json
import os
import pathlib
import re
import resource
import shutil
import subprocess
import time

import numpy as np
import pytest

import program
from benching import BENCH, LISTS, bench, bench_fails, bench_ok

pytestmark = pytest.mark.xdist_group("bench")  # its documents are measured once


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
    rows, features = 8_000_000, 16
    file_bytes = rows * features * 4
    limit = int(file_bytes * 0.9)  # of anonymous memory, while the rows are made, too
    document = json.loads(bench_ok("stream", "--rows", rows, "--features", features, "--samples", 1, "--layout",
                                   "contiguous", "--types", "float32", "--trees", 1, "--backends", "avx2", "--folder",
                                   tmp_path, "--json",
                                   preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))))
    for r in document["results"]:
        assert r["peak_mib"] < file_bytes / 2**20 / 2


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
