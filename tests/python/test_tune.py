"""`avvik tune`: what is measured is kept, used, and changes no score; what somebody else put there is told and ignored."""

import shutil
import stat

import h5py
import numpy
import pytest

from program import BAD_INPUT, NO_BACKEND, WRONG_USAGE, environment, expected, fails, ok, ok_json, run


@pytest.fixture
def cache(tmp_path):
    """An empty cache of this test's own, and the environment that names it."""
    folder = tmp_path / "cache"
    return folder, environment(AVVIK_CACHE=str(folder))


def columns(path):
    with h5py.File(path) as file:
        return {name: numpy.array(file["scores"][name]) for name in file["scores"]}


def tune_files(folder):
    return sorted(folder.glob("*.tune"))


def has_opencl(env):
    found = [d["backend"] for d in ok_json("devices", env=env)["devices"]
             if d["backend"].startswith("opencl:") and d["available"]]
    assert found or not expected("opencl")
    return found


def score(model, batch, out, backend, env):
    result = ok("score", "--model", model, batch, "--backend", backend, "--force", "--out", out, env=env)
    return columns(out), result.stderr


def test_cpu_is_tuned_and_used(cache, batch, model, tmp_path):
    folder, env = cache
    reference, _ = score(model, batch, tmp_path / "reference.h5", "scalar", env)
    tunings = ok_json("tune", "--target", "cpu", env=env)["tunings"]
    available = [d["backend"] for d in ok_json("devices", env=env)["devices"]
                 if d["available"] and not d["backend"].startswith("opencl")]
    if len(available) <= 2:
        assert tunings == [] and not tune_files(folder)
        return
    subjects = {t["subject"] for t in tunings}
    assert len(subjects) == 10
    for subject in subjects:
        settings = [t for t in tunings if t["subject"] == subject]
        assert {t["setting"] for t in settings} == set(available) - {"scalar"}
        assert sum(t["chosen"] for t in settings) == 1
        chosen = next(t for t in settings if t["chosen"])
        assert chosen["rows_per_second"] > 0
        assert chosen["rows_per_second"] * 1.03 >= max(t["rows_per_second"] for t in settings)
    [file] = tune_files(folder)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600

    # The test's model has 5 features and 6 levels: what the first line says is what `auto` takes.
    chosen = next(t["setting"] for t in tunings if t["chosen"] and t["subject"] == "8 features, up to 8 levels")
    text = file.read_text()
    assert f"\nforest 8 8 {chosen}\n" in text
    file.write_text(text.replace(f"forest 8 8 {chosen}\n", "forest 8 8 avx2\n"))
    out = tmp_path / "tuned.h5"
    told = ok_json("score", "--model", model, batch, "--out", out, env=env)
    assert told["backend"] in ("avx2", *has_opencl(env))
    for name, values in columns(out).items():
        assert values.tobytes() == reference[name].tobytes(), name


def test_devices_are_tuned_and_used(cache, batch, model, tmp_path):
    folder, env = cache
    devices = has_opencl(env)
    if not devices:
        pytest.skip("no OpenCL device can run here")
    device = devices[0]
    reference, _ = score(model, batch, tmp_path / "reference.h5", "scalar", env)
    tunings = ok_json("tune", "--target", device, env=env)["tunings"]
    assert {t["target"] for t in tunings} == {device}
    assert {t["subject"] for t in tunings} == {"walk", "group", "piece"}
    for subject in ("walk", "group", "piece"):
        assert sum(t["chosen"] for t in tunings if t["subject"] == subject) == 1
    [file] = tune_files(folder)
    walk = next(t["setting"] for t in tunings if t["chosen"] and t["subject"] == "walk")
    assert f"\nwalk {walk}\n" in file.read_text()
    programs = set(folder.glob("*.clbin"))
    tuned, _ = score(model, batch, tmp_path / "tuned.h5", device, env)
    file.write_text("avvik tuning 1\nwalk local:4096\ngroup 8\npiece_kib 1\nend\n")
    odd, told = score(model, batch, tmp_path / "odd.h5", device, env)
    assert ".tune" not in told
    assert len(set(folder.glob("*.clbin")) - programs) >= 2, "the walk that the file names was not compiled"
    for name, values in reference.items():
        assert values.tobytes() == tuned[name].tobytes() == odd[name].tobytes(), name


@pytest.fixture(scope="module")
def tuned_file(tmp_path_factory):
    """What one measurement of the CPU has left."""
    folder = tmp_path_factory.mktemp("tuned")
    if not ok_json("tune", "--target", "cpu", env=environment(AVVIK_CACHE=str(folder)))["tunings"]:
        pytest.skip("this CPU has no choice of variants")
    [file] = tune_files(folder)
    return file


def test_a_spoilt_file_is_told(tuned_file, cache, batch, model, tmp_path):
    folder, env = cache
    folder.mkdir(mode=0o700)
    file = folder / tuned_file.name
    shutil.copy(tuned_file, file)
    reference, told = score(model, batch, tmp_path / "reference.h5", "auto", env)
    assert ".tune" not in told
    for content in (b"", b"avvik tuning 1\nwalk lanes:16\n", b"\x00" * 100, b"x" * 1_000_000, b"avvik tuning 1\nforest 8 8 abacus\nend\n"):
        file.write_bytes(content)
        scores, told = score(model, batch, tmp_path / "scores.h5", "auto", env)
        assert str(file) in told and "ignored" in told, content[:40]
        for name, values in reference.items():
            assert values.tobytes() == scores[name].tobytes(), name
    assert ok("tune", "--target", "cpu", "--quiet", env=env).stdout == ""
    _, told = score(model, batch, tmp_path / "scores.h5", "auto", env)
    assert ".tune" not in told


def test_wrong_targets(cache, tmp_path):
    _, env = cache
    for target in ("abacus", "opencl:9.9", "opencl:", "avx2", "", "opencl:0.0,0.0"):
        fails(NO_BACKEND, "tune", "--target", target, env=env)
    fails(WRONG_USAGE, "tune", "cpu", env=env)


def test_a_forced_walk_cannot_be_tuned(cache):
    _, env = cache
    fails(WRONG_USAGE, "tune", names=["AVVIK_OPENCL_WALK"], env=dict(env, AVVIK_OPENCL_WALK="global"))


def test_no_place_to_keep_it(tuned_file, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    fails(BAD_INPUT, "tune", "--target", "cpu", names=[tmp_path / "file"],
          env=environment(AVVIK_CACHE=str(tmp_path / "file")))
    nowhere = {name: value for name, value in environment().items()
               if name not in ("AVVIK_CACHE", "XDG_CACHE_HOME", "HOME")}
    fails(BAD_INPUT, "tune", "--target", "cpu", names=["AVVIK_CACHE"], env=nowhere)


def test_table_for_people(cache):
    _, env = cache
    result = run("tune", "--target", "cpu", env=env)
    assert result.returncode == 0
    assert "chosen" in result.stdout or "nothing to choose" in result.stdout
