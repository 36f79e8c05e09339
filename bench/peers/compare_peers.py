"""avvik against other people's libraries: the same rows, the same trees, the same cores, in turns, in one run.

Results are compared before a time is printed: libraries that take avvik's forest must return its path sums, those with
a forest of their own must rank the rows much alike. bench/peers/README.md says what is compared and how.
"""

import argparse
import json
import os
import pathlib
import platform
import subprocess
import sys
import time

for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):  # they hold back NumPy's BLAS, and are read when it is loaded
    os.environ.pop(name, None)

import h5py  # noqa: E402
import numpy as np  # noqa: E402

import peer_libraries  # noqa: E402
from exported_forest import ExportedForest  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
TURN_S = 0.3  # a contender that is faster than this runs more than once in its turn
RUNS_A_TURN = 7
ROUNDING = 1e-6  # of a path sum, relative: scikit-learn's comes back through 2^x
ALIKE = 0.8  # least rank correlation of a forest of another making


def options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--file-rows", type=int, help="rows of the files (as --rows)")
    parser.add_argument("--features", type=int, default=16)
    parser.add_argument("--trees", type=int, default=100)
    parser.add_argument("--sample", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5, help="turns of every contender (5)")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "release", help="where avvik was built")
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "build" / "peers-work",
                        help="folder for batches and results")
    parser.add_argument("--json", type=pathlib.Path, help="write everything to this file, every sample")
    parser.add_argument("--markdown", action="store_true", help="print the tables in Markdown")
    return parser.parse_args()


def make_rows(rows, features):
    """Normal values, but of four columns one is skewed and one rounded to quarters, as in `avvik-bench stream`."""
    values = np.random.default_rng(1).standard_normal((rows, features), dtype=np.float32)
    values[:, 1::4] = np.exp(values[:, 1::4])
    values[:, 2::4] = np.rint(values[:, 2::4] * 4) / 4
    return values


def write_batch(path, values, **storage):
    """A table as avvik reads it: a group, a data set a column."""
    with h5py.File(path, "w") as file:
        for column in range(values.shape[1]):
            file.create_dataset(f"/rows/x{column:04}", data=values[:, column], **storage)
    return path


def avvik(build, *arguments):
    result = subprocess.run([build / "avvik", *map(str, arguments)], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        sys.exit(f"avvik {' '.join(map(str, arguments))}\n{result.stderr}")
    return result.stdout


def rank_correlation(a, b):
    ranks = [np.argsort(np.argsort(values, kind="stable"), kind="stable") for values in (a, b)]
    return float(np.corrcoef(*ranks)[0, 1])


def check(contender, cores, reference):
    """What the comparison of results says; ends the program if they differ. Also the warm-up run."""
    sums = contender.path_sums(contender.run(cores))
    if contender.is_same_forest:
        error = float(np.abs(sums / reference - 1).max())
        if not error <= ROUNDING:
            sys.exit(f"{contender.name}, {cores} cores: path sums are not those of avvik scalar, by {error:.3g} of them")
        return "equal" if error == 0 else f"within {error:.0e}"
    correlation = rank_correlation(sums, reference)
    if not correlation >= ALIKE:
        sys.exit(f"{contender.name}: its scores rank the rows otherwise (rank correlation {correlation:.3f})")
    return f"own forest, rank correlation {correlation:.3f}"


def turn(run):
    """Seconds of one run, or of some where they are short."""
    samples = []
    while not samples or (len(samples) < RUNS_A_TURN and sum(samples) < TURN_S):
        start = time.perf_counter()
        run()
        samples.append(time.perf_counter() - start)
    return samples


def in_turns(subjects, rounds):
    """{name: run} round robin; {name: every sample in seconds}."""
    samples = {name: [] for name in subjects}
    for number in range(rounds):
        for name, run in subjects.items():
            if sys.stderr.isatty():
                print(f"\rround {number + 1} of {rounds}: {str(name):60.60}", end="", file=sys.stderr, flush=True)
            samples[name] += turn(run)
    if sys.stderr.isatty():
        print(f"\r{'':78}\r", end="", file=sys.stderr)
    return samples


def in_memory(arguments, contenders, reference):
    subjects, checks = {}, {}
    for contender in contenders:
        for cores in (1, 2):
            checks[contender.name, cores] = check(contender, cores, reference)
            subjects[contender.name, cores] = lambda contender=contender, cores=cores: contender.run(cores)
    results = []
    for (name, cores), samples in in_turns(subjects, arguments.rounds).items():
        contender = next(c for c in contenders if c.name == name)
        results.append({"name": name, "version": contender.version, "settings": contender.settings, "cores": cores,
                        "is_avvik": contender.is_avvik, "check": checks[name, cores], "seconds": samples})
    return results


def walk_alone(arguments):
    """What the others do, and nothing else: the forest over a tile in memory, one core. Rows/s, run by run."""
    bench = [arguments.build / "bench" / "avvik-bench", "kernels", "--only", "forest_path,forest_path_wide", "--json",
             "--features", arguments.features, "--trees", arguments.trees, "--sample", arguments.sample, "--rows", 65536]
    result = subprocess.run(list(map(str, bench)), capture_output=True, text=True, check=True)
    fastest = max((r for r in json.loads(result.stdout)["results"] if "opencl" not in r["variant"]),
                  key=lambda r: r["best_rows_per_s"])
    return {"variant": fastest["variant"], "rows_per_s": [fastest["rows"] / s for s in fastest["samples_s"]]}


def scikit_learn_file(scikit_learn, batch, out, cores):
    """Read with h5py, score, write with h5py. Neither start-up nor fsync is counted."""
    with h5py.File(batch) as file:
        columns = [file["/rows"][name] for name in sorted(file["/rows"])]
        matrix = np.empty((len(columns), len(columns[0])), dtype=np.float32)
        for column, row in zip(columns, matrix):
            column.read_direct(row)
    scores = scikit_learn.score(np.ascontiguousarray(matrix.T), cores)
    with h5py.File(out, "w") as file:
        file["/scores/forest"] = scores.astype(np.float32)


def end_to_end(arguments, scikit_learn, model, batches, cores=2):
    """From file to file on all cores; avvik as a whole process, fsync included."""
    subjects = {}
    for layout, batch in batches.items():
        out = arguments.work / "scores.h5"
        subjects["avvik score", layout] = lambda batch=batch, out=out: avvik(
            arguments.build, "score", "--model", model, batch, "--threads", cores, "--quiet", "--force", "--out", out)
        if scikit_learn:
            peer_out = arguments.work / "peer-scores.h5"
            subjects["h5py + scikit-learn", layout] = (
                lambda batch=batch, out=peer_out: scikit_learn_file(scikit_learn, batch, out, cores))
    for run in subjects.values():  # fills the page cache, and proves that both read the same rows
        run()
    if scikit_learn:
        with h5py.File(arguments.work / "scores.h5") as ours, h5py.File(peer_out) as theirs:
            # The two c(psi) differ a little, so scores do too.
            correlation = rank_correlation(ours["/scores/forest"][:], -theirs["/scores/forest"][:])
            if correlation < 0.9999:
                sys.exit(f"scores from the files differ (rank correlation {correlation})")
    return [{"name": name, "layout": layout, "cores": cores, "is_avvik": name.startswith("avvik"),
             "file_bytes": batches[layout].stat().st_size, "seconds": samples}
            for (name, layout), samples in in_turns(subjects, arguments.rounds).items()]


def machine():
    model = "unknown"
    for line in pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    return {"cpu": model, "cores": len(os.sched_getaffinity(0)), "system": platform.system(),
            "python": platform.python_version(), "numpy": np.__version__, "h5py": h5py.__version__,
            "hdf5": h5py.version.hdf5_version, "load_before": os.getloadavg()[0]}


# --- what people read -----------------------------------------------------------------------------------------------


def rates(entry, rows):
    """M rows/s of the best and of the median run."""
    return rows / min(entry["seconds"]) / 1e6, rows / float(np.median(entry["seconds"])) / 1e6


def figure(value):
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def print_table(header, lines, is_markdown):
    """First column to the left, the others to the right."""
    if is_markdown:
        print("| " + " | ".join(header) + " |")
        print("|---|" + "---:|" * (len(header) - 1))
        for line in lines:
            print("| " + " | ".join(line) + " |")
    else:
        widths = [max(len(line[i]) for line in [header, *lines]) for i in range(len(header))]
        for line in [header, *lines]:
            print("  ".join(cell.ljust(width) if i == 0 else cell.rjust(width)
                            for i, (cell, width) in enumerate(zip(line, widths))).rstrip())
    print()


def memory_table(report):
    rows = report["rows"]
    by_name = {}
    for entry in report["memory"]:
        by_name.setdefault(entry["name"], {})[entry["cores"]] = entry
    best = {cores: max(rates(entry, rows)[0] for entry in report["memory"] if entry["is_avvik"] and entry["cores"] == cores)
            for cores in (1, 2)}
    lines = []
    for name, entries in by_name.items():
        cells = [f"{name} {entries[1]['version'] or ''}".strip()]
        for cores in (1, 2):
            top, median = rates(entries[cores], rows)
            cells += [f"{figure(top)} ({figure(median)})", f"{figure(best[cores] / top)}"]
        lines.append([*cells, entries[1]["check"]])
    return ["in memory, M rows/s", "1 core", "avvik / it", "2 cores", "avvik / it", "path sums"], lines


def file_table(report):
    lines = []
    for layout in dict.fromkeys(entry["layout"] for entry in report["files"]):
        entries = [entry for entry in report["files"] if entry["layout"] == layout]
        best = next(rates(entry, report["file_rows"])[0] for entry in entries if entry["is_avvik"])
        for entry in entries:
            top, median = rates(entry, report["file_rows"])
            lines.append([f"{entry['name']}, {layout}", f"{figure(top)} ({figure(median)})", f"{figure(best / top)}",
                          f"{entry['file_bytes'] / 1e6:.0f} MB"])
    return ["from file to file, M rows/s", "2 cores", "avvik / it", "file"], lines


def show(report, is_markdown):
    at = report["machine"]
    print(f"{at['cpu']}, {at['cores']} cores. {report['avvik']}. {report['rows']:,} rows x {report['features']} float32, "
          f"files of {report['file_rows']:,}; {report['trees']} trees of {report['sample']} rows, "
          f"{report['mean_nodes']:.0f} nodes each. Best run (median run).\n")
    print_table(*memory_table(report), is_markdown)
    alone = max(rate for walk in report["walks"] for rate in walk["rows_per_s"])
    others = ", ".join(f"{figure(alone / 1e6 / rates(entry, report['rows'])[0])} times {entry['name']}"
                       for entry in report["memory"] if entry["cores"] == 1 and not entry["is_avvik"])
    print(f"The walk alone ({report['walks'][0]['variant']}, one core): {figure(alone / 1e6)} M rows/s, {others}.\n")
    print_table(*file_table(report), is_markdown)
    for name, reason in report["left_out"].items():
        print(f"Left out: {name} ({reason})")


def make_batches(arguments):
    values = make_rows(arguments.file_rows or arguments.rows, arguments.features)
    return {"contiguous": write_batch(arguments.work / "contiguous.h5", values),
            "deflate + shuffle": write_batch(arguments.work / "deflate.h5", values, compression="gzip",
                                             compression_opts=4, shuffle=True)}


def main():
    arguments = options()
    arguments.work.mkdir(parents=True, exist_ok=True)
    batches = make_batches(arguments)
    values = make_rows(arguments.rows, arguments.features)
    model = arguments.work / "model.h5"
    avvik(arguments.build, "fit", batches["contiguous"], "--trees", arguments.trees, "--sample", arguments.sample,
          "--quiet", "--force", "--out", model)
    forest = ExportedForest.read(model)

    devices = json.loads(avvik(arguments.build, "devices", "--json"))["devices"]
    # OpenCL on a CPU takes all cores whatever it is told, so it has no place in a table per core.
    backends = [device["backend"] for device in devices if device["available"] and "opencl" not in device["backend"]]
    library = str(arguments.build / "libavvik.so")
    ours = [peer_libraries.Avvik(library, str(model), backend, values) for backend in backends]
    reference = next(c.path_sums(c.run(2)).copy() for c in ours if c.name == "avvik scalar")
    peers, left_out = peer_libraries.make_all(forest, values, arguments.work)
    scikit_learn = next((peer for peer in peers if peer.name == "scikit-learn"), None)

    walks = [walk_alone(arguments)]
    report = {"schema": "avvik-peers 1", "machine": machine(), "avvik": avvik(arguments.build, "--version").splitlines()[0],
              "rows": arguments.rows, "file_rows": arguments.file_rows or arguments.rows,
              "features": arguments.features, "trees": arguments.trees, "sample": forest.sample,
              "mean_nodes": forest.mean_nodes, "left_out": left_out,
              "memory": in_memory(arguments, [*reversed(ours), *peers], reference),
              "walks": walks + [walk_alone(arguments)],
              "files": end_to_end(arguments, scikit_learn, model, batches)}
    report["machine"]["load_after"] = os.getloadavg()[0]
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    show(report, arguments.markdown)


if __name__ == "__main__":
    main()
