"""What --resume goes on from, what it refuses, and that nobody's files are touched over it."""

import fcntl
import os
import shutil
import signal
import subprocess
import time

import h5py
import pytest

import fault_runs
import program
import sets
from fault_runs import some
from program import BAD_INPUT, DONE, INTERRUPTED, WRONG_USAGE

HEAD = 16 + 64 + 8  # magic, note, length of the identity


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return fault_runs.make_inputs(tmp_path_factory.mktemp("inputs"))


def interrupted(job, blocks=1):
    """Leave what a run leaves that is killed with checkpoints written, of so many blocks or more, and rows still to do."""
    for n in range(job.calls * 2 // 3, job.calls):
        job.clear()
        job.run(FAULT_AT=n, FAULT_ACTION="before")
        if journal(job).exists() and records(job) >= blocks:
            return job
    raise AssertionError("no run left such a journal: how busy is the disk?")


def journal(job):
    return job.folder / "out.h5.journal"


def partial(job):
    return job.folder / "out.h5.partial"


def head_bytes(job):
    data = journal(job).read_bytes()
    return HEAD + int.from_bytes(data[HEAD - 8:HEAD], "little") + 16


def records(job):
    """How many blocks the journal tells of: each record has a length, a checksum and that many bytes."""
    data, n = journal(job).read_bytes()[head_bytes(job):], 0
    while len(data) >= 24 and len(data) >= 24 + int.from_bytes(data[:8], "little"):
        data, n = data[24 + int.from_bytes(data[:8], "little"):], n + 1
    return n


@pytest.fixture(scope="module", params=["score", "compress", "fit"])
def left(request, inputs, tmp_path_factory):
    """An interrupted run, and a copy of what it left."""
    job = interrupted(fault_runs.job(request.param, inputs, tmp_path_factory.mktemp("left"), threads=(1,)))
    job.aside = job.keep_aside()
    return job


@pytest.fixture
def job(left):
    left.put_back(left.aside)
    return left


def resumed_rows(job):
    """Complete the output, and say how many rows an earlier run is told to have done."""
    env = program.environment()
    command = [word for word in job.command("--resume", "--json") if word != "--quiet"]
    result = subprocess.run(command, capture_output=True, encoding="utf-8", env=env, check=False)
    assert result.returncode == DONE, result.stderr
    job.insist_complete()
    return program.json.loads(result.stdout)["rows_resumed"]


def refuses(job, *more, parts=()):
    """--resume ends with a sentence, and what was left is still there, as it was."""
    before = {path.name: path.read_bytes() for path in job.folder.iterdir() if path.is_file()}
    ending = job.run("--resume", *more).insist(BAD_INPUT)
    fault_runs.sentence(ending, "out.h5", *parts)
    assert {path.name: path.read_bytes() for path in job.folder.iterdir() if path.is_file()} == before
    return ending


def test_rows_are_not_done_twice(job):
    done, all_rows = resumed_rows(job), 5 * fault_runs.ROWS
    # A fit may have been interrupted after its first pass: then nothing of that is left to do.
    assert 0 < done < all_rows or (job.arguments[0] == "fit" and done == all_rows)


def test_time_of_the_first_run(job):
    """A score file says when its first run began."""
    if job.arguments[0] == "fit":
        pytest.skip("a model is written by one run")
    began = journal(job).read_bytes()[16:16 + len("2026-01-01T00:00:00Z")].decode()
    time.sleep(1.1)
    resumed_rows(job)
    with h5py.File(job.out) as file:
        assert program_text(file.attrs["created"]) == began


def program_text(value):
    return value.decode() if isinstance(value, bytes) else value


def with_options(job, change):
    """The same output from other arguments."""
    other = object.__new__(fault_runs.Job)
    other.__dict__.update(job.__dict__, arguments=change([str(word) for word in job.arguments]))
    return other


CHANGES = {
    "model": lambda words: [word.replace("model.h5", "other.h5") for word in words],
    "input": lambda words: [word.replace("plain.h5", "deflate.h5") for word in words],
    "compression": lambda words: [*words, "--compress=9"],
    "skip": lambda words: [*words, "--skip-damaged"],
    "trees": lambda words: ["31" if word == "30" else word for word in words],
    "seed": lambda words: [*words, "--seed", "2"],
    "features": lambda words: [*words, "--features", "x000,x001"],
}


@pytest.mark.parametrize("change", CHANGES)
def test_other_runs_are_refused(job, change):
    if (change in ("trees", "seed", "features")) != (job.arguments[0] == "fit"):
        pytest.skip("not an option of this command")
    other = with_options(job, CHANGES[change])
    refuses(other, parts=["another model, other options or inputs that have changed"])
    other.run("--force").insist(DONE)
    assert job.left() == ["out.h5"]


@pytest.mark.parametrize("change", ["time", "size"])
def test_changed_input_is_refused(job, change):
    path = [word for word in job.arguments if str(word).endswith((".h5"))][-1]
    state, size = os.stat(path), os.path.getsize(path)
    try:
        if change == "time":
            os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
        else:
            with open(path, "ab") as file:
                file.write(b"\0")
            os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
        refuses(job, parts=["inputs that have changed"])
    finally:
        os.truncate(path, size)
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert resumed_rows(job) > 0


def test_journal_of_another_format(job):
    data = journal(job).read_bytes()
    journal(job).write_bytes(data.replace(b"avvik journal 1", b"avvik journal 2", 1))
    refuses(job, parts=["no journal of this avvik", "without --resume"])
    job.recover(resume=False)


def test_damaged_head(job):
    data, end = journal(job).read_bytes(), head_bytes(job)
    for at in sorted({17, 80, HEAD - 8, HEAD - 1, HEAD, end - 17, end - 16, end - 1}):
        damaged = bytearray(data)
        damaged[at] ^= 0x40
        journal(job).write_bytes(damaged)
        refuses(job, parts=["damaged|no journal"])
    journal(job).write_bytes(b"\0" * len(data))
    refuses(job, parts=["no journal"])


def test_head_that_was_not_finished(job):
    """A run killed while it made its journal has done nothing yet that another could go on from."""
    data, end = journal(job).read_bytes(), head_bytes(job)
    aside = job.keep_aside()
    for size in (0, 1, 16, HEAD, end - 1, end):
        job.put_back(aside)
        journal(job).write_bytes(data[:size])
        assert resumed_rows(job) == 0
    job.put_back(aside)
    journal(job).write_bytes(b"\0" * end)
    assert resumed_rows(job) == 0


def test_torn_tail(job):
    """Whatever stands at the end of a journal, what comes before is gone on from."""
    data, end = journal(job).read_bytes(), head_bytes(job)
    aside = job.keep_aside()
    full = resumed_rows(job)
    seen = set()
    tails = [data[:size] for size in sorted(job.random.sample(range(end, len(data)), some(12, 200)))]
    tails += [data + b"\0" * 100, data + os.urandom(5000), data[:-7] + b"\0" * 7, data + data[end:]]
    for at in job.random.sample(range(end, len(data)), some(12, 200)):
        tails.append(data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1:])
    for tail in tails:
        job.put_back(aside)
        journal(job).write_bytes(tail)
        rows = resumed_rows(job)
        assert rows <= full
        seen.add(rows)
    assert full in seen and len(seen) > 1


def test_partial_changed_behind_our_back(job):
    if job.arguments[0] == "fit":
        pytest.skip("a fit has no partial file")
    aside, data = job.keep_aside(), partial(job).read_bytes()
    full = resumed_rows(job)
    fewer = 0
    for i, at in enumerate(job.random.sample(range(len(data)), 200)):
        if i >= some(12, 200) and fewer > 0:  # a run on a busy machine has had few of its blocks written down
            break
        job.put_back(aside)
        partial(job).write_bytes(data[:at] + bytes([data[at] ^ 0x04]) + data[at + 1:])
        rows = resumed_rows(job)
        assert rows <= full
        fewer += rows < full
    assert fewer > 0, "no change was noticed"
    for other in (b"", data[:len(data) // 2], os.urandom(len(data)), data + os.urandom(10_000)):
        job.put_back(aside)
        partial(job).write_bytes(other)
        resumed_rows(job)


def test_partial_is_gone(job):
    partial(job).unlink(missing_ok=True)
    assert (resumed_rows(job) > 0) == (job.arguments[0] == "fit")  # all of a fit is in its journal


def test_output_is_complete(job):
    """A run killed between the rename and the end of its journal."""
    aside = job.keep_aside()
    job.run("--resume").insist(DONE)
    done = job.out.read_bytes()
    shutil.copy(aside / "out.h5.journal", journal(job))
    job.run("--resume").insist(DONE)
    assert job.left() == ["out.h5"] and job.out.read_bytes() == done
    job.run("--resume").insist(DONE)
    assert job.left() == ["out.h5"] and job.out.read_bytes() == done


def test_another_output_is_there(job):
    """Without --force it stays, and so does what the interrupted run has done."""
    job.out.write_bytes(b"somebody else's")
    for _ in range(2):
        ending = job.run("--resume").insist(BAD_INPUT)
        fault_runs.sentence(ending, "already there", "--force")
        assert job.out.read_bytes() == b"somebody else's"
    command = [word for word in job.command("--resume", "--force", "--json") if word != "--quiet"]
    result = subprocess.run(command, capture_output=True, env=program.environment(), check=True)
    assert program.json.loads(result.stdout)["rows_resumed"] > 0
    job.insist_complete()


def test_fit_over_another_model(inputs, tmp_path):
    job = fault_runs.job("fit", inputs, tmp_path)
    shutil.copy(inputs / "other.h5", job.out)
    before = job.out.read_bytes()
    ending = job.run("--resume").insist(BAD_INPUT)
    fault_runs.sentence(ending, "already there", "--force")
    assert job.out.read_bytes() == before


@pytest.mark.parametrize("options", [(), ("--resume",), ("--force",)])
def test_two_processes(job, options):
    """The second sees the first's locks. Here the test holds them, as a run would."""
    for path in filter(os.path.exists, (journal(job), partial(job))):
        with open(path, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            before = {name: (job.folder / name).read_bytes() for name in job.left()}
            ending = job.run(*options).insist(BAD_INPUT)
            fault_runs.sentence(ending, "out.h5", "another process")
            after = {name: (job.folder / name).read_bytes() for name in job.left()}
            if path == journal(job):
                assert after == before
            else:
                assert after[path.name] == before[path.name]
        job.put_back(job.aside)


def test_two_processes_at_once(inputs, tmp_path):
    """Many at a time: all end well or with the sentence, and the output is whole."""
    job = fault_runs.job("score", inputs, tmp_path)
    for options in (["--force"], ["--force", "--resume"]):
        for _ in range(some(3, 30)):
            running = [subprocess.Popen(job.command(*options), stderr=subprocess.PIPE, encoding="utf-8",
                                        env=program.environment()) for _ in range(4)]
            told = [process.communicate()[1] for process in running]
            codes = [process.returncode for process in running]
            assert set(codes) <= {DONE, BAD_INPUT} and DONE in codes, told
            assert all(("another process" in text) == (code == BAD_INPUT) for code, text in zip(codes, told)), told
            job.insist_complete()


@pytest.mark.parametrize("name", ["out.h5.partial", "out.h5.journal"])
def test_symbolic_link(job, name, tmp_path):
    """Nothing is written through a link that somebody has laid there."""
    if job.arguments[0] == "fit" and name == "out.h5.partial":
        pytest.skip("made only at the end")
    victim = tmp_path / "victim"
    victim.write_bytes(b"theirs")
    (job.folder / name).unlink()
    (job.folder / name).symlink_to(victim)
    ending = job.run("--resume").insist(BAD_INPUT)
    fault_runs.sentence(ending, "out.h5", "symbolic link")
    assert victim.read_bytes() == b"theirs"


def test_resume_without_anything(inputs, tmp_path):
    job = fault_runs.job("score", inputs, tmp_path)
    job.clear()
    assert resumed_rows(job) == 0


def test_read_only_folder(inputs, tmp_path):
    job = interrupted(fault_runs.job("score", inputs, tmp_path, threads=(1,)))
    mounted = os.geteuid() == 0 and subprocess.run(["mount", "--bind", job.folder, job.folder],
                                                   check=False).returncode == 0
    if os.geteuid() == 0 and not mounted:
        pytest.skip("needs the right to mount a file system")
    try:
        if mounted:
            subprocess.run(["mount", "-o", "remount,bind,ro", job.folder], check=True)
        else:
            os.chmod(job.folder, 0o555)
            os.chmod(journal(job), 0o444)
        refuses(job)
    finally:
        if mounted:
            subprocess.run(["umount", job.folder], check=True)
    job.recover()


@pytest.fixture
def night(inputs, tmp_path):
    """Eight batches, of which one is no batch, one is cut short and one has a damaged chunk."""
    folder = tmp_path / "in"
    folder.mkdir()
    for i in range(8):
        shutil.copy(inputs / ("damaged.h5" if i == 5 else "plain.h5"), folder / f"b{i}.h5")
    (folder / "b1.h5").write_text("no batch")
    os.truncate(folder / "b3.h5", 100_000)
    return sorted(folder.iterdir())


def score_night(inputs, batches, out, *options):
    return ["score", "--backend", "scalar", "--model", str(inputs / "model.h5"), *map(str, batches), "--out-dir",
            str(out), "--checkpoint", "0", *options]


def test_one_bad_file_does_not_stop_the_others(inputs, night, tmp_path):
    out = tmp_path / "out"
    result = program.run(*score_night(inputs, night, out, "--quiet"))
    assert result.returncode == BAD_INPUT
    named = [line for line in result.stderr.splitlines() if line.startswith("avvik: ")]
    for bad in ("b1.h5", "b3.h5", "b5.h5"):
        assert len([line for line in named if bad in line]) == 1, result.stderr
    assert sorted(os.listdir(out)) == [f"b{i}.scores.h5" for i in (0, 2, 4, 6, 7)]
    single = tmp_path / "single.h5"
    program.ok("score", "--backend", "scalar", "--model", inputs / "model.h5", night[0], "--out", single)
    assert fault_runs.content(out / "b0.scores.h5") == fault_runs.content(single)


def test_same_base_name(inputs, tmp_path):
    twin = tmp_path / "twin"
    twin.mkdir()
    shutil.copy(inputs / "plain.h5", twin / "plain.h5")
    result = program.run(*score_night(inputs, [inputs / "plain.h5", twin / "plain.h5"], tmp_path / "out"))
    assert result.returncode == WRONG_USAGE and "plain.scores.h5" in result.stderr
    assert not (tmp_path / "out").exists()


def test_interrupted_night(inputs, tmp_path):
    """SIGINT, again and again, at any time: exit code 6, and --resume goes on until all is done."""
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for i in range(6):
        shutil.copy(inputs / "large.h5", folder / f"b{i}.h5")
    batches = sorted(folder.iterdir())
    started = time.monotonic()
    program.ok(*score_night(inputs, batches, tmp_path / "whole"))
    seconds = time.monotonic() - started
    random = fault_runs.random.Random(5)
    for _ in range(some(2, 20)):
        interrupts = 0
        options = []
        while True:
            process = subprocess.Popen([program.AVVIK, *score_night(inputs, batches, out, "--quiet", *options)],
                                       stderr=subprocess.PIPE, encoding="utf-8", env=program.environment())
            wait = random.uniform(0.1, 1) * seconds if interrupts < 6 else 60
            try:
                _, told = process.communicate(timeout=wait)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGINT)
                _, told = process.communicate(timeout=60)
            options = ["--resume"]
            if process.returncode == DONE:
                break
            interrupts += 1
            if process.returncode == -signal.SIGINT:  # before it listens, or after it has stopped
                continue
            assert process.returncode == INTERRUPTED, told
            assert len(told.splitlines()) == 1 and "interrupted" in told, told
        assert sorted(os.listdir(out)) == sorted(os.listdir(tmp_path / "whole"))
        for name in os.listdir(out):
            assert fault_runs.content(out / name) == fault_runs.content(tmp_path / "whole" / name)
        shutil.rmtree(out)


def test_damaged_rows_are_told_after_resuming(inputs, tmp_path):
    """/absent is complete whichever run found the damage."""
    job = interrupted(fault_runs.job("damaged", inputs, tmp_path, threads=(1,)), blocks=3)
    rows = resumed_rows(job)
    assert rows > 10_000  # the damage is in rows 5,000 to 9,999: the first run found it
    with h5py.File(job.out) as file:
        assert list(file["absent/first"]) == [5000] and list(file["absent/rows"]) == [5000]
        assert "checksum" in file["absent/reason"][0].decode().lower()


SLOW_DISK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/types.h>
#include <unistd.h>
int fdatasync(int file)
{
    usleep(400000);
    return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(file);
}
ssize_t pwrite64(int file, const void *from, size_t n, off_t at)
{
    if (n > 4096)
        usleep(100000);
    return ((ssize_t (*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, "pwrite64"))(file, from, n, at);
}
ssize_t pwrite(int file, const void *from, size_t n, off_t at) { return pwrite64(file, from, n, at); }
"""


@pytest.mark.skipif(not shutil.which("gcc"), reason="no gcc")
def test_checkpoints_keep_to_their_share(inputs, tmp_path):
    """On a disk that takes its time a checkpoint lasts 0.8 s or longer, and the next one has to wait for 80 s: the run is
    over before, though it takes several times the second that is asked for. Every block has one if that is asked for."""
    (tmp_path / "slow.c").write_text(SLOW_DISK)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", tmp_path / "slow.so", tmp_path / "slow.c", "-ldl"], check=True)
    env = program.environment(LD_PRELOAD=str(tmp_path / "slow.so"),
                              ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0")
    counts = {}
    for seconds in (1, 0):
        result = subprocess.run([program.AVVIK, "score", "--model", inputs / "model.h5", inputs / "plain.h5", "--backend",
                                 "scalar", "--out", tmp_path / f"{seconds}.h5", "--checkpoint", str(seconds), "--json"],
                                capture_output=True, env=env, check=True)
        told = program.json.loads(result.stdout)
        counts[seconds] = told["checkpoints"]
        assert told["seconds"] > 3
    assert counts[1] == 1 and counts[0] > 3
