"""Running the avvik program in the tests."""

import json
import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
AVVIK = os.environ.get("AVVIK", str(ROOT / "build" / "release" / "avvik"))

DONE = 0
WRONG_USAGE = 2
BAD_INPUT = 3
NO_BACKEND = 4
SELFTEST_FAILED = 5
INTERRUPTED = 6


def environment(**extra):
    """The tests' own caches, so that they neither need nor change the user's."""
    values = dict(os.environ)
    values.setdefault("AVVIK_CACHE", str(ROOT / "build" / "cache"))
    values.setdefault("POCL_CACHE_DIR", str(ROOT / "build" / "pocl"))
    values.setdefault("LC_ALL", "C.UTF-8")
    values.update(extra)
    return values


def run(*arguments, env=None, timeout=300, text=True, **options):
    """Run avvik to its end, whatever that is. What it prints must be UTF-8."""
    return subprocess.run([AVVIK, *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True,
                          encoding="utf-8" if text else None, env=env or environment(), timeout=timeout, check=False,
                          **options)


def ok(*arguments, **options):
    """Run avvik and insist that it succeeds."""
    result = run(*arguments, **options)
    assert result.returncode == DONE, (
        f"avvik {' '.join(map(str, arguments))}\nexit code {result.returncode}\n{result.stdout}{result.stderr}")
    return result


def ok_json(*arguments, **options):
    """The one JSON document that a command with --json prints."""
    return json.loads(ok(*arguments, "--json", **options).stdout)


def expected(name, variable="AVVIK_EXPECT"):
    """Is `name` in the list of what may not be skipped?"""
    return name in os.environ.get(variable, "").split(",")


def fails(code, *arguments, names=(), folder=None, **options):
    """Run avvik and insist on an error as it should be.

    That is this exit code and one sentence on stderr that starts with `avvik: ` and holds all of `names`. Nothing new may lie
    in `folder` afterwards: neither an output under its final name nor a partial one.
    """
    before = set(os.listdir(folder)) if folder else None
    result = run(*arguments, **options)
    told = f"avvik {' '.join(map(str, arguments))}\nexit code {result.returncode}\n{result.stdout}{result.stderr}"
    assert result.returncode == code, told
    lines = result.stderr.splitlines()
    assert len(lines) == 1, told
    assert lines[0].startswith("avvik: ") and len(lines[0]) > len("avvik: ") + 8, told
    assert result.stdout == "", told
    for name in names:
        assert str(name) in lines[0], f"{name} is not named\n{told}"
    if folder:
        assert set(os.listdir(folder)) == before, told
    return lines[0]


def whole_stacks():
    """Where the sanitizers are on: stacks that show which part of HDF5 lost memory over a damaged file."""
    options = [os.environ.get("ASAN_OPTIONS", ""), "fast_unwind_on_malloc=0"]
    return environment(ASAN_OPTIONS=":".join(filter(None, options)))
