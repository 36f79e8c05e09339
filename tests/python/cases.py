"""Case documents as `avvik explain --jsonl` writes them, made up: host/cases/README.md has their fields."""

import json
import random

OFFICES = ["0301", "1103", "3201", "4601", "5001", "5501"]
REASONS = [("gross", "gross amount", "oere"), ("hours_reported", "hours reported", "h"), ("grade_pct", "grade", "%"),
           ("tax", "tax withheld", "oere"), ("basis", "basis", "oere")]


def kroner(oere):
    return f"{oere / 100:,.2f}\u00a0kr"


def told(value, units):
    return kroner(value) if units == "oere" else f"{value} {units}"


def document(number, night="2026-11-24", rank=None, seed=0, **changes):
    """Case `number`, the same on every night but for what `changes` says."""
    draw = random.Random(number * 7919 + seed)
    median = draw.randrange(1_200_000, 3_000_000)
    value = median * draw.randrange(2, 9)
    reasons = []
    for place, (name, label, units) in enumerate(draw.sample(REASONS, 3), 1):
        own, usual = (value, median) if units == "oere" else (draw.randrange(150, 400), 150)
        reasons.append({"place": place, "feature": name, "label": label, "units": units, "value": own, "text": told(own, units),
                        "contribution": -3.25 / place, "share": round(0.5 / place, 2), "robust_z": round(draw.uniform(4, 40), 1),
                        "peer_median": usual, "peer_median_text": told(usual, units),
                        "percentile": round(100 - draw.uniform(0, 0.5), 2), "peers": 1234})
    first = reasons[0]
    office = OFFICES[number % len(OFFICES)]
    spread = sorted(first["peer_median"] * draw.lognormvariate(0, 0.25) for _ in range(101))
    case = {
        "avvik_case": 1, "key": f"benefit/{8_100_000 + number}", "night": night, "input": "benefit.h5", "table": "/benefit",
        "row": number, "language": "en", "rank": rank, "selected_by": "combined" if rank else "random",
        "p": round(draw.uniform(0.00001, 0.002), 6),
        "scores": {"forest": 0.68, "deviation": 961.4, "joint": 5.2, "combined": round(draw.uniform(4, 12), 2)},
        "time": f"2026-11-{1 + number % 28:02d}", "office": office, "entity": str(9_000_000 + number % 5000),
        "fields": [
            {"name": "gross", "label": "gross", "units": "oere", "value": value, "text": kroner(value)},
            {"name": "hours_reported", "label": "hours reported", "units": "h", "value": 37.5, "text": "37.5 h"},
            {"name": "office", "label": "office", "units": "", "value": office, "text": office},
            {"name": "account", "label": "account", "units": "", "value": 123, "text": "SECRET-ACCOUNT"}],
        "reasons": reasons,
        "peer_group": {"name": f"municipality {office}", "rows": 1234, "depth": 1},
        "counterfactual": {"one": [{"feature": first["feature"], "label": first["label"], "value": 1,
                                    "text": first["peer_median_text"], "direction": "below"}], "two": None},
        "words": {
            "en": [f"The {first['label']} is {first['text']}.",
                   f"Among 1,234 payments in municipality {office}, half are below {first['peer_median_text']}.",
                   "About one payment in 12,000 deviates as much.",
                   f"It would be ordinary if the {first['label']} were below {first['peer_median_text']}."],
            "nb": [f"Beløpet er {first['text']}.", f"Blant 1 234 utbetalinger i kommune {office} er halvparten lavere enn "
                   f"{first['peer_median_text']}.", "Omtrent én av 12 000 utbetalinger avviker like mye.",
                   f"Den ville vært vanlig om verdien var under {first['peer_median_text']}."],
            "nn": [f"Beløpet er {first['text']}.", f"Blant 1 234 utbetalingar i kommune {office} er halvparten lågare enn "
                   f"{first['peer_median_text']}.", "Om lag éi av 12 000 utbetalingar avvik like mykje.",
                   f"Ho ville vore vanleg om verdien var under {first['peer_median_text']}."]},
        "peer_plot": {**{name: first[name] for name in ("feature", "label", "units", "value", "text")}, "among": "peers", "rows": 1234,
                      "quantiles": spread},
        "timeline": [{"time": f"2026-{month:02d}-20", "value": int(first["peer_median"] * draw.uniform(0.9, 1.1)), "is_case": False}
                     for month in range(1, 11)] + [{"time": "2026-11-20", "value": first["value"], "is_case": True}]}
    case.update(changes)
    return case


def night(n_ranked, n_random=0, date="2026-11-24", first=1, **changes):
    """A night's list: by rank, then those drawn at random."""
    return ([document(first + i, date, rank=i + 1, **changes) for i in range(n_ranked)]
            + [document(first + n_ranked + i, date, **changes) for i in range(n_random)])


def write(path, documents):
    path.write_text("".join(json.dumps(each, ensure_ascii=False) + "\n" for each in documents), encoding="utf-8")
    return path
