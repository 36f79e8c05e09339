"""What a CI job on a GPU machine runs: bench/ci-gpu.sh, with and without a GPU, and with a driver OpenCL was not told of."""

import json
import pathlib
import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree

import pytest

import program
from benching import SLOWER, bench_ok, write

pytestmark = pytest.mark.xdist_group("bench")  # its documents are measured once


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


def measured_before(folder, documents):
    """A build folder whose avvik-bench has measured already: it gives these documents, by subject, and does the rest as the real one
    does; where the machine is one of them, avvik has passed its self-test, too."""
    real = pathlib.Path(program.AVVIK).parent
    (folder / "bench").mkdir(parents=True)
    asked = {"kernels": "kernels --quick --json", "stream": "stream --quick --json", "machine": "machine --json"}
    given = "".join(f'  "{asked[name]}") cat "{write(folder / f"{name}.json", document)}" ;;\n' for name, document in documents.items())
    passed = "  selftest) echo passed ;;\n" if "machine" in documents else ""
    for path, cases, rest in (("bench/avvik-bench", given, "kernels* | stream*) exit 2 ;;"), ("avvik", passed, "")):
        (folder / path).write_text(f'#!/bin/sh\ncase "$*" in\n{cases}  {rest}\n  *) exec "{real / path}" "$@" ;;\nesac\n')
        (folder / path).chmod(0o755)
    return folder


@pytest.mark.slow
def test_ci_gpu_measures_and_compares(tmp_path, kernels, stream):
    """Without a baseline, with two, and with a driver that OpenCL was not told of, from what was measured before."""
    name = bench_ok("machine", "--name").strip()
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)
    first, out, tree = tmp_path / "first", tmp_path / "out", tmp_path / "tree"
    documents = {"kernels": kernels, "stream": stream}
    result, cases = ci_gpu(tree, first, "--cpu", build=measured_before(tmp_path / "build", documents))
    assert result.returncode == 0, result.stdout + result.stderr
    assert cases == {"devices": "passed", "selftest": "passed", "kernels": "passed", "stream": "passed", "join": "passed",
                     "compare": "skipped"}
    assert f"no bench/baseline/{name}.json" in result.stdout
    measured = json.loads((first / f"{name}.json").read_text(encoding="utf-8"))
    assert {r["name"] for r in measured["results"]} >= {"forest_path", "engine", "fit", "score"}
    build = measured_before(tmp_path / "again", documents | {"machine": json.loads((first / "machine.json").read_text(encoding="utf-8"))})
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
    result, cases = ci_gpu(tree, out, "--cpu", build=tmp_path / "build", AVVIK_ICD_DRIVER=driver, **clean)
    assert result.returncode == 0 and "it is registered for this run" in result.stdout, result.stdout
    assert re.search(r"^opencl:0\.0 +yes", (out / "devices.log").read_text(encoding="utf-8"), re.MULTILINE)
    assert cases["devices"] == cases["selftest"] == "passed" and list(temporary.iterdir()) == []


@pytest.mark.slow
def test_ci_gpu_wants_a_gpu(tmp_path):
    if has_gpu():
        pytest.skip("this machine has a GPU")
    (tmp_path / "empty").mkdir()
    for n, vendors in enumerate(({}, {"OCL_ICD_VENDORS": str(tmp_path / "empty")})):
        build = measured_before(tmp_path / f"build{n}", {"kernels": {"results": []}, "stream": {"results": []}})
        result, cases = ci_gpu(tmp_path / "tree", tmp_path / "out", build=build, **vendors)
        assert result.returncode == program.NO_BACKEND and cases["devices"] == "failure"
        assert "OpenCL has no GPU here" in result.stdout
