"""Draws the synthetic country: datasets/plots/synth_people.png, synth_money.png and synth_typologies.png.

Run from the root of the source tree:
    python -m pip install -r datasets/plots/plot_requirements.txt
    avvik synth --out build/country --persons 200000
    avvik synth --out build/country-cases --persons 200000 --fraud-rate 0.03     # more cases, to see them
    python datasets/plots/plot_synth.py build/country build/country-cases
"""

import pathlib
import sys

import h5py
import matplotlib
import numpy as np
from scipy import stats

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402 (the backend comes first)

BLUE, ORANGE, GREY, GREEN = "#5b7c99", "#d9762b", "#b8bec4", "#6f9a6a"
MONTHS = ["J", "F", "M", "A", "M", "J", "J", "A", "S", "O", "N", "D"]
SCHEMES = ["barnetrygd", "kontantstøtte", "tilleggsstønad", "foreldrepenger", "dagpenger", "sykepenger", "AAP", "uføretrygd",
           "alderspensjon"]
TYPOLOGIES = ["", "undeclared work", "under-reported income", "fictitious employer", "inflated pay", "identity misuse",
              "duplicate claims", "VAT carousel", "fictitious invoicing", "inflated deductions", "below the limit"]
NONE = np.iinfo(np.int64).min


def table(folder, name):
    """A table over all months, with what the truth says of it."""
    parts = {}
    with h5py.File(folder / "truth.h5") as truth:
        for path in sorted(folder.glob("batch_*.h5")):
            with h5py.File(path) as file:
                for column, data in (list(file[name].items()) + list(truth[path.stem][name].items())) if name in file else []:
                    parts.setdefault(column, []).append(data[:])
    return {column: np.concatenate(values) for column, values in parts.items()}


def register(folder, name):
    with h5py.File(folder / "registry.h5") as file:
        return {column: data[:] for column, data in file[name].items()}


def month_of(days):
    return days.astype("datetime64[D]").astype("datetime64[M]").astype(int) % 12


def tidy(axis, title, xlabel="", ylabel=""):
    axis.set_title(title, loc="left", fontsize=10)
    axis.set_xlabel(xlabel)
    axis.set_ylabel(ylabel)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


def draw_people(folder):
    person, household, event = register(folder, "person"), register(folder, "household"), register(folder, "event")
    age = np.floor((np.datetime64("2025-01-01").astype(int) - person["birth_date"]) / 365.2425).astype(int)
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.9), constrained_layout=True, width_ratios=[1.25, 1, 1.1])
    for sex, sign, colour, name in ((0, 1, ORANGE, "women"), (1, -1, BLUE, "men")):
        counts = np.bincount(age[(person["sex"] == sex) & (age >= 0)], minlength=105)
        axes[0].barh(np.arange(len(counts)), sign * counts / len(age) * 1000, height=1, color=colour, label=name)
    axes[0].xaxis.set_major_formatter(lambda value, _: f"{abs(value):g}")
    axes[0].legend(frameon=False, loc="upper right")
    tidy(axes[0], "ages", "per 1,000 persons", "years")
    sizes = np.bincount(household["size"])[1:] / len(household["size"])
    axes[1].bar(np.arange(1, len(sizes) + 1), 100 * sizes, color=BLUE)
    tidy(axes[1], f"household sizes (mean {household['size'].mean():.2f})", "persons", "% of households")
    for kind, colour, name in ((2, ORANGE, "job lost"), (1, GREEN, "job found"), (4, GREY, "death")):
        counts = np.bincount(month_of(event["date"][event["event"] == kind]), minlength=12)
        axes[2].plot(np.arange(12), counts / len(age) * 1000, color=colour, marker="o", markersize=4, label=name)
    axes[2].set_xticks(range(12), MONTHS)
    axes[2].set_ylim(0)
    axes[2].legend(frameon=False, ncols=3, fontsize=8)
    axes[2].set_ylim(0, 6)
    tidy(axes[2], "life events by month", "", "per 1,000 persons")
    return figure


def draw_money(folder):
    person, wage, benefit = register(folder, "person"), table(folder, "tax_wage"), table(folder, "benefit")
    pay = person["wage"][person["wage"] > NONE] / 100
    figure, axes = plt.subplots(2, 3, figsize=(11, 7), constrained_layout=True)
    bins = np.linspace(15_000, 140_000, 90)
    axes[0, 0].hist(pay, bins=bins, density=True, color=BLUE)
    median, sd = np.median(pay), np.subtract(*np.quantile(np.log(pay), [0.75, 0.25])) / 1.349
    axes[0, 0].plot(bins, stats.lognorm(sd, scale=median).pdf(bins), color=ORANGE, label="lognormal")
    axes[0, 0].set_yticks([])
    axes[0, 0].xaxis.set_major_formatter(lambda value, _: f"{value / 1000:g}")
    axes[0, 0].legend(frameon=False)
    tidy(axes[0, 0], f"pay in a full position (median {median:,.0f})", "1,000 NOK a month")
    ordered = np.sort(pay)[::-1]
    rank = np.arange(1, len(ordered) + 1) / len(ordered)
    axes[0, 1].loglog(ordered, rank, color=BLUE, label="share that earns more")
    start = int(0.03 * len(ordered))
    shape, _, scale = stats.genpareto.fit(ordered[:start] - ordered[start], floc=0)
    axes[0, 1].loglog(ordered[:start], rank[start] * stats.genpareto(shape, scale=scale).sf(ordered[:start] - ordered[start]),
                      color=ORANGE, linestyle="--", label=f"Pareto tail, index {1 / shape:.1f}")
    tail = np.geomspace(40_000, ordered[0], 100)
    axes[0, 1].loglog(tail, stats.lognorm(sd, scale=median).sf(tail), color=GREY, label="lognormal")
    axes[0, 1].set_ylim(0.5 / len(ordered), 1.3)
    axes[0, 1].legend(frameon=False, fontsize=8)
    tidy(axes[0, 1], "its tail", "NOK a month")
    amount = np.where(wage["amount"] > 0, wage["amount"], 0) / 100
    for kinds, colour, name in (((0, 1), BLUE, "pay"), ((2,), GREEN, "overtime"), ((3,), ORANGE, "holiday pay"), ((4,), GREY, "bonus")):
        rows = np.isin(wage["income_type"], kinds)
        axes[0, 2].plot(range(12), np.bincount(month_of(wage["earned_to"][rows]), amount[rows], minlength=12) / len(person["person"]),
                        color=colour, marker="o", markersize=4, label=name)
    axes[0, 2].set_xticks(range(12), MONTHS)
    axes[0, 2].legend(frameon=False, fontsize=8)
    tidy(axes[0, 2], "wage reports", "", "NOK a month and person")
    shares = [len(np.unique(benefit["person"][(benefit["benefit_code"] == k) & (month_of(benefit["period_to"]) == 11)]))
              / len(person["person"]) for k in range(len(SCHEMES))]
    axes[1, 0].barh(SCHEMES, np.array(shares) * 100, color=BLUE)
    for k, share in enumerate(shares):
        axes[1, 0].text(share * 100 + 0.2, k, f"{share:.1%}", va="center", fontsize=8)
    axes[1, 0].set_xlim(0, max(shares) * 115)
    tidy(axes[1, 0], "receivers in December", "% of the population")
    for k in range(len(SCHEMES)):
        low, quarter, middle, three, high = np.quantile(benefit["gross"][(benefit["benefit_code"] == k) & (benefit["gross"] > 0)] / 100_000,
                                                        [0.05, 0.25, 0.5, 0.75, 0.95])
        axes[1, 1].plot([low, high], [k, k], color=GREY, linewidth=1.5, label="5 to 95 % of payments" if k == 0 else None)
        axes[1, 1].plot([quarter, three], [k, k], color=BLUE, linewidth=6, solid_capstyle="butt", label="25 to 75 %" if k == 0 else None)
        axes[1, 1].plot(middle, k, "o", color=ORANGE, markersize=5, label="median" if k == 0 else None)
    axes[1, 1].set_yticks(range(len(SCHEMES)), SCHEMES)
    axes[1, 1].set_xlim(0)
    axes[1, 1].legend(frameon=False, fontsize=8, loc="lower right")
    tidy(axes[1, 1], "payments", "1,000 NOK")
    delay = wage["reported_on"] - wage["earned_to"]
    whole = month_of(wage["earned_to"]) != month_of(wage["earned_to"] + 1)
    for rows, colour, name in ((whole & (wage["income_type"] < 5), BLUE, "first reports"), (wage["income_type"] == 5, ORANGE, "corrections")):
        axes[1, 2].hist(delay[rows], bins=np.arange(0, 125, 2), color=colour, alpha=0.75, label=name)
    axes[1, 2].set_yscale("log")
    axes[1, 2].legend(frameon=False)
    tidy(axes[1, 2], "when wage reports come in", "days after the month", "reports")
    return figure


def draw_typologies(folder):
    """Two columns that hide a typology, and the relation that shows it."""
    benefit, wage, vat = table(folder, "benefit"), table(folder, "tax_wage"), table(folder, "tax_vat")
    figure, axes = plt.subplots(2, 3, figsize=(11, 7), constrained_layout=True)
    rows = (benefit["benefit_code"] == 4) & ~np.isnan(benefit["hours_reported"])
    case = benefit["typology"] == 1
    bins = np.arange(0, 100, 4)
    axes[0, 0].hist([benefit["hours_reported"][rows & ~case], benefit["hours_reported"][rows & case]], bins=bins, density=True,
                    color=[GREY, ORANGE], label=["other receivers", "undeclared work"])
    axes[0, 0].set_yscale("log")
    axes[0, 0].legend(frameon=False, fontsize=8)
    tidy(axes[0, 0], "dagpenger: hours on the card alone", "hours a month")
    position = {}
    for k in np.flatnonzero((wage["income_type"] < 2) & ~np.isnan(wage["position_pct"])):
        days = wage["earned_to"][k] - wage["earned_from"][k] + 1
        position[wage["person"][k], month_of(wage["earned_to"][k:k + 1])[0]] = 1.63 * wage["position_pct"][k] * days / 30.4
    month = month_of(benefit["period_to"])
    for rows_, colour, size, name in ((rows & ~case & (benefit["look_alike"] != 1), GREY, 4, "other receivers"),
                                      (rows & (benefit["look_alike"] == 1), BLUE, 6, "look-alikes"),
                                      (rows & case, ORANGE, 6, "undeclared work")):
        keys = np.flatnonzero(rows_)[:4000]
        found = [(position[benefit["person"][k], month[k]], benefit["hours_reported"][k]) for k in keys
                 if (benefit["person"][k], month[k]) in position]
        axes[0, 1].scatter(*np.array(found).T, s=size, color=colour, label=name, alpha=0.7, linewidths=0)
    axes[0, 1].set_ylim(-3, 130)
    axes[0, 1].legend(frameon=False, fontsize=8, markerscale=2, loc="upper right")
    tidy(axes[0, 1], "and beside the wage reports", "hours by the wage report", "hours on the card")
    rows = (benefit["benefit_code"] == 2)
    near = np.linspace(5000, 9000, 81)
    kinds = [rows & (benefit["typology"] == 0) & (benefit["look_alike"] != 10), rows & (benefit["look_alike"] == 10), rows & (benefit["typology"] == 10)]
    axes[0, 2].hist([benefit["gross"][k] / 100 for k in kinds], bins=near, stacked=True, color=[GREY, BLUE, ORANGE],
                    label=["other claims", "fixed rate (look-alike)", "below the limit"])
    axes[0, 2].axvline(8000, color="black", linewidth=0.8)
    axes[0, 2].set_yscale("log")
    axes[0, 2].legend(frameon=False, fontsize=8, loc="upper left")
    tidy(axes[0, 2], "supplements, and the limit of control", "NOK", "claims")
    terms = np.unique(np.stack([vat["business"], vat["term"].astype(np.uint64)]), axis=1, return_inverse=True)[1].ravel()
    kinds = [np.zeros(terms.max() + 1) for _ in range(3)]
    for total, mask in zip(kinds, (vat["vat_code"] < 4, vat["vat_code"] >= 4, vat["vat_code"] == 3), strict=True):
        total += np.bincount(terms, np.where(mask, vat["basis"], 0), minlength=len(total))
    sales, bought, exports = kinds
    of = {name: np.zeros(len(sales), int) for name in ("typology", "look_alike")}
    for name, values in of.items():
        values[terms] = vat[name]
    input_rows = vat["vat_code"] >= 4
    whole = input_rows & (vat["basis"] % 100_000 == 0)
    round_share = np.bincount(terms, whole, minlength=len(sales)) / np.bincount(terms, input_rows, minlength=len(sales)).clip(1)
    industry = np.zeros(len(sales), int)
    industry[terms] = vat["industry"]
    ratio = bought / sales.clip(1)
    usual = np.array([np.median(ratio[industry == k]) for k in range(industry.max() + 1)])
    jitter = np.random.default_rng(1).uniform(-0.02, 0.02, len(sales))
    for axis, t, x, y, label in ((axes[1, 0], 7, exports / sales.clip(1), ratio, ("exports / sales", "purchases / sales")),
                                 (axes[1, 1], 9, ratio - usual[industry], round_share + jitter,
                                  ("purchases / sales, above the industry's median", "share of purchases in whole thousands"))):
        for rows_, colour, size, name in (((of["typology"] != t) & (of["look_alike"] != t), GREY, 3, "other businesses"),
                                          (of["look_alike"] == t, BLUE, 6, "look-alikes"), (of["typology"] == t, ORANGE, 6, TYPOLOGIES[t])):
            keys = np.flatnonzero(rows_)[:3000]
            axis.scatter(x[keys], y[keys], s=size, color=colour, label=name, alpha=0.6, linewidths=0)
        axis.legend(frameon=True, framealpha=0.9, edgecolor="none", fontsize=8, markerscale=2, loc=("upper left", "center right")[t == 9])
        tidy(axis, f"VAT returns: {TYPOLOGIES[t].removeprefix('VAT ')}", *label)
    axes[1, 0].set_ylim(0, 1.9)
    axes[1, 0].annotate("build-up", (0.06, 0.62), (0.12, 0.42), fontsize=8, arrowprops={"arrowstyle": "-", "color": GREY})
    axes[1, 0].annotate("surge, then silence", (0.7, 1.0), (0.45, 1.25), fontsize=8, arrowprops={"arrowstyle": "-", "color": "black"})
    axes[1, 1].set_xlim(-0.6, 1.1)
    counts = [[(source[name] == t).sum() for t in range(1, 11) for source in (benefit,)] for name in ("typology", "look_alike")]
    for name_index, (name, colour) in enumerate((("typology", ORANGE), ("look_alike", BLUE))):
        for source, hatch in ((wage, None), (vat, None)):
            counts[name_index] = [count + (source[name] == t).sum() for t, count in enumerate(counts[name_index], 1)]
        axes[1, 2].barh(np.arange(1, 11) + 0.2 - 0.4 * name_index, counts[name_index], height=0.38, color=colour,
                        label=["cases", "look-alikes"][name_index])
    axes[1, 2].set_yticks(range(1, 11), TYPOLOGIES[1:])
    axes[1, 2].invert_yaxis()
    axes[1, 2].legend(frameon=False, fontsize=8)
    tidy(axes[1, 2], "rows in the truth, all tables", "rows")
    return figure


def main(folder, cases):
    here = pathlib.Path(__file__)
    with h5py.File(pathlib.Path(folder) / "registry.h5") as file:
        persons = int(file["country"].attrs["persons"])
    for name, figure in (("people", draw_people(pathlib.Path(folder))), ("money", draw_money(pathlib.Path(folder))),
                         ("typologies", draw_typologies(pathlib.Path(cases)))):
        figure.suptitle(f"The synthetic country: {name} ({persons:,} persons, 2025)", x=0.01, ha="left")
        figure.savefig(here.with_name(f"synth_{name}.png"), dpi=100)


if __name__ == "__main__":
    main(*sys.argv[1:])
