"""What else there is of the same person: rows of earlier batches in a case's timeline, and rows that several of them have."""

import json
from pathlib import Path

import h5py
import numpy as np

from program import BAD_INPUT, fails
from test_explain import explain, folder, write_batch  # noqa: F401 (a fixture)


def test_timelines_go_back_to_earlier_batches(folder, tmp_path):
    """Rows of the same person in earlier batches, by NumPy; the input itself among them is not read twice."""
    earlier = {"june.h5": write_batch(tmp_path / "june.h5", seed=21), "may.h5": write_batch(tmp_path / "may.h5", seed=22)}
    with h5py.File(folder / "batch.h5") as file:
        persons = file["benefit/person"][:]
    for number, path in enumerate(earlier.values()):
        with h5py.File(path, "r+") as file:
            file["benefit/pay_date"][...] -= 30 * (number + 1)
            file["benefit/person"][...] = np.roll(persons, 700 * (number + 1))
    link = tmp_path / "the-same.h5"
    link.symlink_to(folder / "batch.h5")
    cases = explain(folder, "peers", "--flagged", folder / "peers.json", "--history", f"{tmp_path}/june.h5,{link},{tmp_path}/may.h5")
    plain = explain(folder, "peers", "--flagged", folder / "peers.json", "--scan")
    for case, before in zip(cases, plain, strict=True):
        wanted = []
        for path in (*earlier.values(), folder / "batch.h5"):
            with h5py.File(path) as file:
                table = file["benefit"]
                for row in np.flatnonzero(table["person"][:] == persons[case["row"]]):
                    wanted.append((str(np.datetime64(int(table["pay_date"][row]), "D")), str(path), int(row),
                                   table[case["reasons"][0]["feature"]][row]))
        wanted.sort(key=lambda moment: moment[:3])
        got = case["timeline"]
        assert sorted((m["time"], m["input"], m["input_row"]) for m in got) == [moment[:3] for moment in wanted]
        assert [m["time"] for m in got] == sorted(m["time"] for m in got) and len(got) >= 6
        values = {(str(path), row): value for _, path, row, value in wanted}
        for moment in got:
            value = values[moment["input"], moment["input_row"]]
            assert moment["value"] == value or (moment["value"] is None and np.isnan(value))
            assert (moment["row"] is None) == (moment["input"] != str(folder / "batch.h5"))
        assert [m for m in got if m["row"] is not None] == before["timeline"]
        assert [m["row"] for m in got if m["is_case"]] == [case["row"]]
        case.pop("timeline"), before.pop("timeline")
        assert case == before
    run = ("explain", folder / "peers.h5", "--model", folder / "peers.model.h5", "--rows", "1", "--history")
    fails(BAD_INPUT, *run, tmp_path / "none.h5", names=["none.h5"])
    for change, word in (({"role": "protected"}, "protected"), ({"units": "kr"}, "kr")):
        path = write_batch(tmp_path / f"{word}.h5")
        with h5py.File(path, "r+") as file:
            for name in ("pay_date", "gross", "net", "hours", "rate"):
                for key, value in change.items():
                    file["benefit"][name].attrs[key] = np.bytes_(value)
        fails(BAD_INPUT, *run, path, names=[path, word])
    path = write_batch(tmp_path / "nobody.h5")
    with h5py.File(path, "r+") as file:
        del file["benefit/person"]
    fails(BAD_INPUT, *run, path, names=[path, "person"])


def test_a_row_that_two_batches_have_is_in_the_timeline_once(folder, tmp_path):
    """As often as the batch has it that has it most often: as the input has it, or else the batch that is named first."""
    with h5py.File(folder / "batch.h5") as file:
        input_rows = {name: file["benefit"][name][:] for name in file["benefit"]}
    listed = np.array([flag["row"] for flag in json.loads((folder / "peers.json").read_text(encoding="utf-8"))["flags"]])
    june = {name: values[np.repeat(listed, 3)].copy() for name, values in input_rows.items()}
    june["pay_date"] -= np.tile([30, 30, 20], len(listed)).astype(np.int32)  # the same twice, and another
    changed = {name: values.copy() for name, values in june.items()}
    changed["net"][::3] += 1  # of the two one is another payment now
    batches = {}
    for name, parts in {"june": (june,), "may": (june, input_rows), "late": (changed,)}.items():
        path = batches[name] = write_batch(tmp_path / f"{name}.h5", rows=sum(len(part["net"]) for part in parts))
        with h5py.File(path, "r+") as file:
            for column, dataset in file["benefit"].items():
                dataset[...] = np.concatenate([part[column] for part in parts])
    cases = explain(folder, "peers", "--flagged", folder / "peers.json", "--history", ",".join(map(str, batches.values())))
    plain = explain(folder, "peers", "--flagged", folder / "peers.json", "--scan")
    for k, (case, before) in enumerate(zip(cases, plain, strict=True)):
        got = case["timeline"]
        assert [m for m in got if m["row"] is not None] == before["timeline"]
        mine = np.flatnonzero(june["person"] == june["person"][3 * k]).tolist()
        others = [(Path(m["input"]).stem, m["input_row"]) for m in got if m["row"] is None]
        assert sorted(others) == sorted([("june", row) for row in mine] + [("late", row) for row in mine if row % 3 == 0])
