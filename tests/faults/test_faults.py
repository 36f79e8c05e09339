"""Nothing lost: runs that are killed, denied the disk, or lose what was not synced are resumed to the same bytes.

The quick selection takes every so-maniest call; run_faults.sh takes all of them and prints the counts.
"""

import os
import resource
import signal
import subprocess

import pytest

import fault_runs
from fault_runs import EIO, ENOSPC, KINDS, some
from program import BAD_INPUT, DONE

KILLED = -signal.SIGKILL


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return fault_runs.make_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="module")
def tally():
    """Counts what was survived. run_faults.sh adds up what every process leaves in AVVIK_FAULTS_TALLY."""
    counts = {"kills": 0, "failing writes": 0, "power losses": 0}
    yield counts
    if "AVVIK_FAULTS_TALLY" in os.environ:
        with open(os.environ["AVVIK_FAULTS_TALLY"], "a", encoding="utf-8") as file:
            file.writelines(f"{n} {what}\n" for what, n in counts.items())


@pytest.fixture(scope="module", params=some(["score", "compress", "damaged", "fit"], KINDS))
def whole(request, inputs, tmp_path_factory):
    return fault_runs.job(request.param, inputs, tmp_path_factory.mktemp("out"))


@pytest.fixture
def job(whole):
    whole.clear()
    return whole


def calls(job, most):
    """Numbers of calls: all of them, or `most` spread evenly over the run, the last ones always.

    A little more than one run has, because which checkpoints are written is a matter of time.
    """
    last = job.calls + 12
    numbers = range(1, last + 1)
    if most >= last:
        return numbers
    return sorted({1 + i * last // most for i in range(most)} | set(numbers[-18:-10:2]))


def test_kill_at_random(job, tally):
    """kill -9 at any time, then again while it resumes, with other numbers of threads."""
    for _ in range(some(4, 40)):
        ending, kills = job.kill_after(job.random.uniform(0, job.seconds)), 0
        while ending is None:
            kills += 1
            tally["kills"] += 1
            ending = (job.kill_after(job.random.uniform(0, job.seconds), "--resume") if kills < 5
                      else job.run("--resume"))
        ending.insist(DONE)
        job.insist_complete()
        job.clear()


@pytest.mark.parametrize("when", ["before", "after"])
def test_kill_at_every_call(job, when, tally):
    for n in calls(job, some(6, 10_000)):
        ending = job.run(FAULT_AT=n, FAULT_ACTION=when)
        if not ending.has_fired:
            ending.insist(DONE)
            job.insist_complete()
            job.clear()
            continue
        ending.insist(KILLED)
        again = job.random.randrange(1, 40)  # perhaps killed again while it resumes
        if job.random.random() < 0.3 and job.run("--resume", FAULT_AT=again, FAULT_ACTION=when).code == KILLED:
            tally["kills"] += 1
        job.recover()
        tally["kills"] += 1


@pytest.mark.parametrize("action,number", [("fail", ENOSPC), ("broken", ENOSPC), ("broken", EIO), ("short", EIO)])
def test_failing_write(job, action, number, tally):
    """The n-th call fails, once or with all that follow, or does half of what it was asked for."""
    for n in calls(job, some(3, 10_000)):
        ending = job.run(FAULT_AT=n, FAULT_ACTION=action, FAULT_ERRNO=number).insist(DONE, BAD_INPUT)
        if ending.code == DONE:  # nothing that matters: a journal that could not be written, half a write
            assert content_is_whole(job)
            job.clear()
        else:
            assert ending.has_fired and not job.out.exists()
            fault_runs.sentence(ending, "out.h5")
            if "--resume" in ending.error:
                assert job.left() == ["out.h5.journal", "out.h5.partial"][:2 if job.arguments[0] == "score" else 1]
            elif action == "fail":
                assert job.left() == [], ending.error
            job.recover(resume=n % 2 == 0)
        tally["failing writes"] += ending.has_fired


def content_is_whole(job):
    """The output is complete. A journal may lie beside it if it could not be removed."""
    assert fault_runs.content(job.out) == job.reference
    if job.left() != ["out.h5"]:
        assert job.left() == ["out.h5", "out.h5.journal"]
        job.run("--resume").insist(DONE)
        job.insist_complete()
    return True


def test_disk_full_after_every_byte(job, tally):
    size = len(job.reference)
    budgets = [0, 1, 95, 96, 97, 511, 4096, size - 1, size, size + 1, size + 100_000]
    budgets += [job.random.randrange(size + size // 3) for _ in range(some(4, 150))]
    for budget in budgets:
        ending = job.run(FAULT_BYTES=budget).insist(DONE, BAD_INPUT)
        if ending.code == DONE:
            assert content_is_whole(job)
            job.clear()
        else:
            fault_runs.sentence(ending, "No space left")
            job.recover(resume=job.random.random() < 0.7)
        tally["failing writes"] += ending.has_fired


def test_power_loss(job, tally):
    """What no sync had followed is lost, torn or nonsense; names go back to what the folder last was synced as."""
    for n in calls(job, some(8, 10_000)):
        for _ in range(some(1, 2)):
            seed = job.random.randrange(1, 2**31)
            when = job.random.choice(["before", "after"])
            if not job.run(FAULT_AT=n, FAULT_ACTION=when, FAULT_POWER=seed).has_fired:
                job.insist_complete()
                job.clear()
                continue
            if job.random.random() < 0.3:  # the power fails again while it resumes
                again = job.random.randrange(1, 40)
                tally["power losses"] += job.run("--resume", FAULT_AT=again, FAULT_ACTION=when,
                                                 FAULT_POWER=seed + 1).code == KILLED
            job.recover()
            tally["power losses"] += 1


def test_power_loss_around_the_first_syncs(job, tally):
    """Output, head of the journal, first records: each is on the disk before the next is begun."""
    for n in range(1, 5):
        for _ in range(some(5, 60)):
            seed = job.random.randrange(1, 2**31)
            if job.run(FAULT_KIND="fdatasync", FAULT_AT=n, FAULT_ACTION="before", FAULT_POWER=seed).has_fired:
                tally["power losses"] += 1
                job.recover()
            job.clear()


def test_replaced_output_is_old_or_new(job, tally):
    """With --force, a power loss at any call leaves the old output or the new one, whole."""
    old = b"last night's"
    for n in calls(job, some(2, 60)):
        job.out.write_bytes(old)
        ending = job.run("--force", FAULT_AT=n, FAULT_ACTION="after", FAULT_POWER=n)
        assert ending.code == (KILLED if ending.has_fired else DONE)
        assert job.out.read_bytes() == old or fault_runs.content(job.out) == job.reference
        tally["power losses"] += ending.has_fired
        job.run("--force", "--resume").insist(DONE)
        job.insist_complete()
        job.clear()


@pytest.mark.parametrize("limit", [0, 1000, 100_000, 300_000])
def test_file_size_limit(job, limit, tally):
    if limit >= len(job.reference):
        pytest.skip("the output is smaller")

    def bound():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    ending = job.run(limit=bound).insist(BAD_INPUT)
    fault_runs.sentence(ending, "out.h5", "File too large")
    job.recover(resume=True)
    tally["failing writes"] += 1


def test_small_disk(inputs, tmp_path, tally):
    """A disk that is full, and then larger."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], capture_output=True, text=True,
                          check=False)
    if made.returncode != 0:
        pytest.skip(f"needs the right to mount a file system: {made.stderr.strip()}")
    try:
        for kind in ("score", "compress"):
            job = fault_runs.job(kind, inputs, folder)
            for kilobytes in (64, 128, 200):
                job.clear()
                subprocess.run(["mount", "-o", f"remount,size={kilobytes}k", folder], check=True)
                ending = job.run().insist(BAD_INPUT)
                fault_runs.sentence(ending, "out.h5", "No space left")
                subprocess.run(["mount", "-o", "remount,size=4m", folder], check=True)
                job.recover()
                tally["failing writes"] += 1
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_failed_sync_is_not_forgotten(inputs, tmp_path):
    """The kernel tells of a failed write-back once. A checkpoint that hears of it must not let the run end well."""
    job = fault_runs.job("score", inputs, tmp_path, threads=(1,))
    job.clear()
    failed = 0
    for n in range(1, 8):
        ending = job.run(FAULT_KIND="fdatasync", FAULT_AT=n, FAULT_ACTION="fail", FAULT_ERRNO=EIO)
        if ending.file == "out.h5.partial":
            failed += 1
            ending.insist(BAD_INPUT)
            fault_runs.sentence(ending, "out.h5", os.strerror(EIO))
            job.recover()
        else:  # the journal's own
            ending.insist(DONE)
            job.insist_complete()
            job.clear()
    assert failed > 0
