"""What the machine can do to a run: no backend, no disk, no rights, a signal. Nothing is left behind."""

import contextlib
import os
import resource
import signal
import subprocess
import time

import pytest

import program
import sets
from program import BAD_INPUT, DONE, INTERRUPTED, NO_BACKEND, fails


@pytest.mark.parametrize("backend", ["abacus", "opencl:9.9", "opencl:x", "avx", ""])
def test_unknown_backend(backend, batch, model, tmp_path):
    names = [backend.split(":")[-1]] if backend else []
    fails(NO_BACKEND, "score", "--model", model, batch, "--backend", backend, "--out", tmp_path / "never.h5",
          names=names, folder=tmp_path)


def test_no_opencl_platform(batch, model, tmp_path):
    """Without any OpenCL driver `auto` runs on the CPU, and asking for OpenCL is an error."""
    empty = tmp_path / "vendors"
    empty.mkdir()
    env = program.environment(OCL_ICD_VENDORS=str(empty))
    program.ok("score", "--model", model, batch, "--out", tmp_path / "scores.h5", env=env)
    fails(NO_BACKEND, "score", "--model", model, batch, "--backend", "opencl", "--out", tmp_path / "never.h5",
          names=["opencl"], folder=tmp_path, env=env)
    devices = program.ok_json("devices", env=env)["devices"]
    assert not [device for device in devices if device["backend"].startswith("opencl") and device["available"]]


def test_output_where_none_can_be(batch, model, tmp_path):
    for out in (tmp_path / "absent" / "out.h5", batch / "out.h5"):
        fails(BAD_INPUT, "fit", batch, "--trees", 5, "--out", out, names=[out], folder=tmp_path)
        fails(BAD_INPUT, "score", "--model", model, batch, "--out", out, names=[out], folder=tmp_path)
    fails(BAD_INPUT, "fit", batch, "--trees", 5, "--force", "--out", tmp_path, names=[tmp_path], folder=tmp_path)


@contextlib.contextmanager
def small_disk(folder, size, read_only=False):
    """A file system of its own at `folder`; needs root."""
    folder.mkdir()
    options = f"size={size}" + (",ro" if read_only else "")
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, text=True,
                          check=False) if os.geteuid() == 0 else None
    if made is None or made.returncode != 0:
        pytest.skip("needs the right to mount a file system" + (f": {made.stderr.strip()}" if made else ""))
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def test_full_disk(batch, model, tmp_path):
    large = sets.write_table(tmp_path / "large.h5", sets.random_columns(100_000, 5))
    with small_disk(tmp_path / "disk", "64k") as disk:
        out = disk / "out.h5"
        fails(BAD_INPUT, "score", "--model", model, large, "--out", out, names=[out], folder=disk)
        fails(BAD_INPUT, "fit", large, "--trees", 100, "--out", out, names=[out], folder=disk)
        (disk / "rest").write_bytes(b"0" * 61440)  # now not even the beginning of a file fits
        fails(BAD_INPUT, "score", "--model", model, batch, "--out", out, names=[out], folder=disk)


@pytest.mark.parametrize("limit", [0, 1000, 20_000])
def test_file_size_limit(limit, model, tmp_path):
    """Where a disk cannot be made: the kernel refuses to let any file grow."""
    large = sets.write_table(tmp_path / "large.h5", sets.random_columns(100_000, 5))
    out = tmp_path / "out.h5"

    def bound():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    env = program.environment(AVVIK_CACHE=str(tmp_path / "cache"))
    fails(BAD_INPUT, "score", "--model", model, large, "--backend", "scalar", "--out", out, names=[out],
          folder=tmp_path, preexec_fn=bound, env=env)
    fails(BAD_INPUT, "fit", large, "--trees", 100, "--out", out, names=[out], folder=tmp_path, preexec_fn=bound, env=env)


@contextlib.contextmanager
def read_only(folder):
    """A folder in which nothing can be made: a read-only disk for root, whom permissions do not stop."""
    if os.geteuid() == 0:
        with small_disk(folder, "64k", read_only=True):
            yield folder
    else:
        folder.mkdir(mode=0o555)
        yield folder


def test_read_only_directory(batch, model, tmp_path):
    with read_only(tmp_path / "theirs") as folder:
        out = folder / "out.h5"
        fails(BAD_INPUT, "fit", batch, "--trees", 5, "--out", out, names=[out], folder=folder)
        fails(BAD_INPUT, "score", "--model", model, batch, "--out", out, names=[out], folder=folder)


def test_unwritable_cache_is_no_obstacle(batch, model, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    program.ok("score", "--model", model, batch, "--out", tmp_path / "scores.h5",
               env=program.environment(AVVIK_CACHE=str(blocked)))


def test_closed_standard_output(scores):
    """`avvik flag | head -1` ends quietly or with a sentence, and never by a crash."""
    reader, writer = os.pipe()
    os.close(reader)
    result = subprocess.run([program.AVVIK, "flag", scores, "--budget", "600", "--csv"], stdin=subprocess.DEVNULL,
                            stdout=writer, stderr=subprocess.PIPE, text=True, env=program.environment(), check=False)
    os.close(writer)
    assert result.returncode in (DONE, BAD_INPUT, -signal.SIGPIPE), result.stderr
    assert len(result.stderr.splitlines()) <= 1


def test_standard_output_on_a_full_device(scores):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full")
    with open("/dev/full", "w") as full:
        result = subprocess.run([program.AVVIK, "flag", scores, "--csv"], stdin=subprocess.DEVNULL, stdout=full,
                                stderr=subprocess.PIPE, text=True, env=program.environment(), check=False)
    assert result.returncode == BAD_INPUT
    assert result.stderr.startswith("avvik: ") and len(result.stderr.splitlines()) == 1


@pytest.fixture(scope="module")
def long_run(tmp_path_factory):
    """A batch and a model that take one scalar core many seconds to score, and longer to fit."""
    folder = tmp_path_factory.mktemp("long")
    batch = sets.write_table(folder / "batch.h5", sets.random_columns(300_000, 16))
    model = folder / "model.h5"
    program.ok("fit", batch, "--trees", 5000, "--sample", 256, "--out", model)
    return batch, model


def interrupt(arguments, number, folder, started, left=()):
    """Start avvik, send it a signal once `started` is true, and return how it ended."""
    process = subprocess.Popen([program.AVVIK, *map(str, arguments)], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=program.environment())
    try:
        deadline = time.monotonic() + 30
        while not started() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.3)
        assert process.poll() is None, f"it ended before it could be interrupted: {process.communicate()}"
        process.send_signal(number)
        sent = time.monotonic()
        out, err = process.communicate(timeout=60)
        assert time.monotonic() - sent < 3
    finally:
        process.kill()
    assert process.returncode == INTERRUPTED, (process.returncode, out, err)
    assert err.startswith("avvik: ") and len(err.splitlines()) == 1, err
    assert sorted(os.listdir(folder)) == sorted(left), "something was left behind, or nothing to resume from"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_score(number, long_run, tmp_path):
    batch, model = long_run
    out = tmp_path / "scores.h5"
    interrupt(["score", "--model", model, batch, "--backend", "scalar", "--threads", 1, "--checkpoint", 0, "--out", out],
              number, tmp_path, started=(tmp_path / "scores.h5.journal").exists, left=("scores.h5.partial", "scores.h5.journal"))
    again = program.ok("score", "--model", model, batch, "--resume", "--log", "text", "--out", out)
    assert "were scored by an earlier run" in again.stderr
    assert os.listdir(tmp_path) == ["scores.h5"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_fit(number, long_run, tmp_path):
    batch, _ = long_run
    interrupt(["fit", batch, "--trees", 4000, "--sample", 4096, "--threads", 1, "--out", tmp_path / "model.h5"],
              number, tmp_path, started=lambda: True)


def test_interrupted_run_leaves_the_old_output(long_run, tmp_path):
    batch, model = long_run
    out = tmp_path / "out" / "scores.h5"
    out.parent.mkdir()
    out.write_text("last night's")
    process = subprocess.Popen([program.AVVIK, "score", "--model", str(model), str(batch), "--backend", "scalar",
                                "--threads", "1", "--force", "--out", str(out)], stderr=subprocess.PIPE,
                               env=program.environment())
    time.sleep(1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == INTERRUPTED, process.stderr.read()
    process.stderr.close()
    assert out.read_text() == "last night's"
    assert set(os.listdir(out.parent)) <= {"scores.h5", "scores.h5.journal", "scores.h5.partial"}
