"""Prints the synthetic column of the table of public figures in datasets/README.md.

Run from the root of the source tree:
    python -m pip install -r datasets/plots/plot_requirements.txt
    avvik synth --out build/country --persons 200000
    python datasets/plots/figures.py build/country
"""

import pathlib
import sys

import h5py
import numpy as np

NONE = np.iinfo(np.int64).min
YEAR = np.datetime64("2025-01-01").astype(int)


def columns(path, table, names):
    with h5py.File(path) as file:
        return [file[table][name][:] for name in names]


def receivers(folder, months):
    """Distinct persons a scheme pays in at least one of the months."""
    people = {}
    for month in months:
        path = folder / f"batch_2025-{month:02d}.h5"
        person, code = columns(path, "benefit", ["person", "benefit_code"])
        with h5py.File(path) as file:
            schemes = [name.decode() for name in file["benefit/benefit_code"].attrs["codes"]]
        for number, scheme in enumerate(schemes):
            people.setdefault(scheme, set()).update(person[code == number].tolist())
    return {scheme: len(them) for scheme, them in people.items()}


def main(folder):
    born, events, wage = columns(folder / "registry.h5", "person", ["birth_date", "events", "wage"])
    (size,) = columns(folder / "registry.h5", "household", ["size"])
    with h5py.File(folder / "registry.h5") as file:
        death = [name.decode() for name in file["event/event"].attrs["codes"]].index("death")
    age = np.floor((YEAR - born[born < YEAR]) / 365.2425).astype(int)
    n = len(age)
    share = lambda low, high: 100 * ((age >= low) & (age < high)).mean()  # noqa: E731
    adults = ((age >= 18) & (age < 67)).sum()
    pay = wage[wage != NONE] / 100
    december, year = receivers(folder, [12]), receivers(folder, range(1, 13))
    print(f"younger than 15 / 15 to 64 / 65 and older: {share(0, 15):.1f} / {share(15, 65):.1f} / {share(65, 200):.1f} %")
    print("0 to 19 / 20 to 39 / 40 to 59 / 60 to 79 / 80 and older: "
          + " / ".join(f"{share(a, b):.1f}" for a, b in ((0, 20), (20, 40), (40, 60), (60, 80), (80, 200))) + " %")
    print("five years: " + "  ".join(f"{a}: {share(a, a + 5):.1f}" for a in range(0, 95, 5)))
    print(f"persons a household: {size.mean():.2f}; households of one: {100 * (size == 1).mean():.1f} %")
    print(f"births / deaths a year, per 1,000: {1000 * (born >= YEAR).sum() / n:.1f} / {1000 * (events >> death & 1).sum() / n:.1f}")
    print(f"monthly pay of a full position, 2024: median {np.median(pay):,.0f}, mean {pay.mean():,.0f}")
    for scheme in ("alderspensjon", "barnetrygd"):
        print(f"{scheme} in December, of all: {100 * december[scheme] / n:.1f} %")
    for scheme in ("uforetrygd", "aap"):
        print(f"{scheme} in December, of those 18 to 66: {100 * december[scheme] / adults:.1f} %")
    print(f"dagpenger at least once in the year, of all: {100 * year['dagpenger'] / n:.2f} %; in December {100 * december['dagpenger'] / n:.2f} %")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
