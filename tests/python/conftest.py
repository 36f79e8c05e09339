"""What the tests share: the program must be there, and a missing folder of open data is told by name."""

import os

import pytest

import program
import sets
from benching import kernels, stream  # noqa: F401 (fixtures: one of each a session)
from nights import Place


def pytest_sessionstart(session):
    if not os.access(program.AVVIK, os.X_OK):
        raise pytest.UsageError(f"no program {program.AVVIK}: build it first, or name it in AVVIK")


def pytest_generate_tests(metafunc):
    """`bundled` runs over the sets in datasets/real, `open_set` over the folder of open data, `labelled` over both."""
    choices = {"bundled": sets.bundled, "open_set": sets.open_data,
               "labelled": lambda: sets.bundled() + sets.open_data()}
    for name, found in choices.items():
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, found(), ids=str)


@pytest.fixture(scope="session")
def shuttle():
    return next(item for item in sets.bundled() if item.name == "shuttle")


@pytest.fixture
def batch(tmp_path):
    """A small plain batch of 600 rows and 5 features."""
    return sets.write_table(tmp_path / "batch.h5", sets.random_columns(600, 5))


@pytest.fixture
def model(tmp_path, batch):
    path = tmp_path / "model.h5"
    program.ok("fit", batch, "--trees", 20, "--sample", 64, "--seed", 1, "--out", path)
    return path


@pytest.fixture
def scores(tmp_path, batch, model):
    path = tmp_path / "scores.h5"
    program.ok("score", "--model", model, batch, "--out", path)
    return path


@pytest.fixture
def place(tmp_path):
    """A night that may be run, in a folder of its own."""
    return Place(tmp_path / "place")
