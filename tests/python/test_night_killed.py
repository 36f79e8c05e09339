"""Nights that are killed at every point, interrupted, denied the disk, or begun twice."""

import fcntl
import json
import os
import random
import shutil
import signal
import subprocess
import time

import pytest

import program
from nights import NIGHT, PLAIN, Place, assert_same, outcome, step
from program import BAD_INPUT, DONE, INTERRUPTED
from test_machine import small_disk

SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
static int calls;
int rename(const char *from, const char *to)
{
    int (*real)(const char *, const char *) = (int (*)(const char *, const char *))dlsym(RTLD_NEXT, "rename");
    const char *at = getenv("KILL_AT_RENAME");
    const int number = at == NULL ? 0 : atoi(at);
    const int now = ++calls;
    if (number == now)
        kill(getpid(), SIGKILL);
    const int result = real(from, to);
    if (number == -now)
        kill(getpid(), SIGKILL);
    return result;
}
"""


@pytest.fixture(scope="session")
def kill_shim(tmp_path_factory):
    """Kills the process before (N) or after (-N) its N-th rename: every file of a night gets its name by one."""
    if not shutil.which("gcc"):
        pytest.skip("no gcc")
    folder = tmp_path_factory.mktemp("shim")
    (folder / "shim.c").write_text(SHIM)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", folder / "shim.so", folder / "shim.c", "-ldl"], check=True)
    return folder / "shim.so"


def killed(place, shim, number):
    env = program.environment(LD_PRELOAD=str(shim), KILL_AT_RENAME=str(number),
                              ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0")
    return place.run(env=env).returncode


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_every_rename(when, place, kill_shim):
    place.ok()
    wanted = outcome(place)
    steps_hit, number = set(), 0
    while True:
        number += 1
        place.clean()
        code = killed(place, kill_shim, number if when == "before" else -number)
        if code == DONE:
            break
        assert code == -signal.SIGKILL, number
        if (place.night / "manifest.json").exists():
            steps_hit |= {unit["step"] for unit in place.manifest["steps"] if unit["status"] == "running"}
        place.ok()
        assert_same(outcome(place), wanted)
    assert number > 15
    assert steps_hit == {"inputs", "check", "model", "score", "flag", "results"}


def test_killed_again_and_again(place, kill_shim):
    """Every run of the night gets a little further than the one before, until one gets to the end."""
    place.ok()
    wanted = outcome(place)
    place.clean()
    for number in range(1, 200):
        code = killed(place, kill_shim, -7)
        if code == DONE:
            break
        assert code == -signal.SIGKILL
    else:
        pytest.fail("it never came to an end")
    assert number > 3
    place.ok()
    assert_same(outcome(place), wanted)


@pytest.mark.slow
def test_killed_at_any_time(tmp_path):
    place = Place(tmp_path / "place", PLAIN.replace("trees: 20", "trees: 300"), rows=(30_000, 20_000))
    start = time.monotonic()
    place.ok()
    whole = time.monotonic() - start
    wanted = outcome(place)
    chance = random.Random(4)
    n_killed = 0
    for _ in range(8):
        place.clean()
        for _ in range(3):  # up to three kills on the way of one night
            process = subprocess.Popen([program.AVVIK, "night", place.config, "--date", NIGHT], env=program.environment(),
                                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(chance.random() * whole)
            process.kill()
            n_killed += process.wait() == -signal.SIGKILL
        place.ok()
        assert_same(outcome(place), wanted)
    assert n_killed > 8


@pytest.mark.slow
def test_terminated(tmp_path):
    place = Place(tmp_path / "place", PLAIN.replace("trees: 20", "trees: 600"), rows=(60_000, 3000))
    place.ok()
    wanted = outcome(place)
    place.clean()
    process = subprocess.Popen([program.AVVIK, "night", place.config, "--date", NIGHT, "--quiet"],
                               env=program.environment(), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if (place.night / "manifest.json").exists() and step(place.manifest, "score")[0]["status"] == "running":
            break
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=60)
    assert process.returncode == INTERRUPTED, told
    assert len(told.splitlines()) == 1 and NIGHT in told
    assert place.manifest["status"] == "interrupted" and place.manifest["exit_code"] == INTERRUPTED
    place.ok()
    assert_same(outcome(place), wanted)


def test_two_nights_at_once(place):
    (place.folder / "runs").mkdir()
    with open(place.folder / "runs" / "night.lock", "w") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        result = place.run()
        assert result.returncode == BAD_INPUT
        assert f"process {os.getpid()} " in result.stderr and len(result.stderr.splitlines()) == 1
        assert os.listdir(place.folder / "runs") == ["night.lock"]
        assert not (place.folder / "night.prom").exists()
        plan = json.loads(place.ok("--dry-run", "--json").stdout)
        assert plan["running_process"] == os.getpid()
    place.ok()


def test_full_disk(place, tmp_path):
    place.ok()
    wanted = outcome(place)
    shutil.rmtree(place.folder / "runs")
    shutil.rmtree(place.folder / "models")
    (place.folder / "models").mkdir()
    sizes = [f"{kib}k" for kib in (4, 16, 40, 72, 104, 136)]
    with small_disk(place.folder / "runs", sizes[0]) as disk:
        codes = []
        for size in sizes + ["4m"]:
            subprocess.run(["mount", "-o", f"remount,size={size}", disk], check=True)
            result = place.run("--quiet")
            codes.append(result.returncode)
            assert result.returncode in (DONE, BAD_INPUT) and len(result.stderr.splitlines()) == (codes[-1] != DONE)
        assert codes[0] == BAD_INPUT and codes[-1] == DONE
        got = outcome(place)
    del wanted["runs/2026-11-24/manifest.json"], got["runs/2026-11-24/manifest.json"]
    assert_same(got, wanted)
