"""Running avvik-bench in the tests, and two documents of this machine that many of them look at."""

import json
import pathlib
import subprocess

import pytest

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


@pytest.fixture(scope="session")
def kernels():
    return json.loads(bench_ok("kernels", "--quick", "--seed", 7, "--json"))


@pytest.fixture(scope="session")
def stream(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stream")
    document = json.loads(bench_ok("stream", "--rows", 70001, "--features", 6, "--trees", 10, "--samples", 4, "--types",
                                   "float32,mixed", "--folder", folder, "--json"))
    assert list(folder.iterdir()) == []
    return document


def write(path, document):
    path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
    return path
