"""Bad tables: files that are none, cells that are no numbers, classes that are none."""

from __future__ import annotations

import json
import math
from pathlib import Path

from made import write

from reliability.command import dlzoo
from reliability.data import DATA, IMAGES, KINDS, PRICES, accepted, facts, kinds, prices, refused, table, train


@DATA.row("B16", "an empty file is refused")
def _(place: Path) -> None:
    refused(train(place, PRICES, data_csv=b""), "data.csv", "empty")


@DATA.row("B17", "a header without rows is refused")
def _(place: Path) -> None:
    refused(train(place, PRICES, data_csv="size,zone,price\n"), "data.csv", "no rows")


@DATA.row("B18", "a column that is not there is met with those that are, and a guess")
def _(place: Path) -> None:
    wrong = PRICES.replace("target: price", "target: prise")
    refused(train(place, wrong, data_csv=prices()), "data.csv", "'prise'", "Did you mean 'price'?", "size, zone, price")


@DATA.row("B19", "targets that are missing, nan, infinite or text are named with their rows, and counted")
def _(place: Path) -> None:
    for cell in ("", "nan", "1e400", "dear"):
        refused(train(place, PRICES, data_csv=prices(_9=f"3,u,{cell}")), "data.csv:9", "price", cell)
    refused(
        train(place, PRICES, data_csv=prices(_9="3,u,", _12="4,u,", _13="5,v,")), "data.csv:9", "3 rows", "9, 12, 13"
    )


@DATA.row("B20", "nan and inf in a number column are refused with row and value; an empty cell is missing")
def _(place: Path) -> None:
    for cell in ("nan", "inf", "-inf", "1e400"):
        refused(train(place, PRICES, data_csv=prices(_9=f"{cell},u,3")), "data.csv:9", "size", cell)
    accepted(train(place, PRICES, data_csv=prices(_9=",u,3", _10="NA,v,3")))


@DATA.row("B21", "a category that training did not see is answered as unknown, and that is counted")
def _(place: Path) -> None:
    accepted(train(place, KINDS, data_csv=kinds()))
    write(place / "new.csv", "size,zone\n1,u\n2,mars\n3,venus\n")
    found = dlzoo("predict", "last", "new.csv", "-o", "out.csv", cwd=place)
    assert found.code == 0 and len((place / "out.csv").read_text().splitlines()) == 4, found
    assert "did not see" in found.error and "2 in zone" in found.error, found.error


@DATA.row("B22", "classes and categories called NA, N/A, None, null and nan are text like any other")
def _(place: Path) -> None:
    names = ["NA", "N/A", "None", "null", "nan"]
    rows = [f"{i % 7},{names[i % 5]},{names[i % 5]}" for i in range(60)]
    accepted(train(place, KINDS, data_csv=table("size,zone,kind", rows)))
    state = facts(place, "model/model.json")["task"]
    assert state["classes"] == sorted(names), state["classes"]
    (zone,) = (column for column in state["table"]["columns"] if column["name"] == "zone")
    assert zone["values"] == sorted(names), zone


@DATA.row("B23", "text in a number column is named with row, value and what to say if it is meant")
def _(place: Path) -> None:
    changed = prices(_9="three,u,3", _12="four,u,3")
    refused(train(place, PRICES, data_csv=changed), "data.csv:9", "'three'", "size", "row 12", "category")


@DATA.row("B24", "01 and 02, and numbers with zeros in front, stay text")
def _(place: Path) -> None:
    rows = [f"{i % 9},0{1000 + i % 4},0{1 + i % 2}" for i in range(60)]
    accepted(train(place, KINDS, data_csv=table("size,zip,kind", rows)))
    state = facts(place, "model/model.json")["task"]
    assert state["classes"] == ["01", "02"], state["classes"]
    (code,) = (column for column in state["table"]["columns"] if column["name"] == "zip")
    assert code["values"] == ["01000", "01001", "01002", "01003"], code


@DATA.row("B25", "a label beyond the classes that are named is refused with its place and the range")
def _(place: Path) -> None:
    count, pixels = 40, bytes(range(40 * 4))
    write(place / "data/train-images-idx3-ubyte", bytes((0, 0, 8, 3, 0, 0, 0, count, 0, 0, 0, 2, 0, 0, 0, 2)) + pixels)
    labels = bytes((0, 0, 8, 1, 0, 0, 0, count)) + bytes([*(i % 2 for i in range(count - 1)), 5])
    write(place / "data/train-labels-idx1-ubyte", labels)
    config = IMAGES.replace("name: image_folder, path: data", "name: idx, path: data, classes: [no, yes]")
    refused(train(place, config), "train-labels-idx1-ubyte:39", "label 5", "0 to 1")


@DATA.row("B26", "a label of -100 is a class, not a sample that the loss passes over")
def _(place: Path) -> None:
    accepted(train(place, KINDS, data_csv=kinds().replace(",yes", ",-100")))
    assert facts(place, "model/model.json")["task"]["classes"] == ["-100", "no"]


@DATA.row("B27", "labels that are numbers with gaps keep their names, from training to the answers")
def _(place: Path) -> None:
    rows = [f"{i},{'uv'[i % 2]},{(1, 2, 7)[i % 3]}" for i in range(60)]
    accepted(train(place, KINDS, data_csv=table("size,zone,kind", rows)))
    found = dlzoo("predict", "last", '{"size": 1, "zone": "u"}', cwd=place)
    assert found.code == 0 and list(json.loads(found.out)["scores"]) == ["1", "2", "7"], found


@DATA.row("B28", "data of one class is not trained on; a score that one class leaves undefined is null, not nan")
def _(place: Path) -> None:
    refused(train(place, KINDS, data_csv=kinds().replace(",no", ",yes")), "one class", "'yes'")
    accepted(train(place, KINDS, data_csv=kinds()))
    write(place / "yes.csv", "".join(line + "\n" for line in kinds().splitlines() if not line.endswith(",no")))
    found = dlzoo("evaluate", "last", "--data", "yes.csv", "--json", cwd=place)
    assert found.code == 0 and json.loads(found.out)["metrics"]["auroc"] is None, found
    assert "undefined" in dlzoo("evaluate", "last", "--data", "yes.csv", cwd=place).out


@DATA.row("B29", "a class that is in validation or test alone is refused with the first of its rows")
def _(place: Path) -> None:
    for split in ("validation", "test"):
        config = KINDS.replace("target: kind", f"target: kind, {split}_path: other.csv")
        other = "size,zone,kind\n1,u,yes\n1,u,perhaps\n"
        refused(train(place, config, data_csv=kinds(), other_csv=other), "'perhaps'", split, "other.csv:3")


@DATA.row("B30", "a constant column gives no nan: it is left out, and that is said")
def _(place: Path) -> None:
    rows = [f"{i % 7},5,u,{i / 3:.3f}" for i in range(40)]
    ended = train(place, PRICES, data_csv=table("size,weight,zone,price", rows))
    accepted(ended, "left out, as they never vary in the training split: weight, zone")
    assert all(math.isfinite(value) for value in facts(place)["metrics"].values())


@DATA.row("B31", "rows with too many or too few cells are named; nothing shifts")
def _(place: Path) -> None:
    refused(train(place, PRICES, data_csv=prices(_2="1,u,3,4")), "data.csv:2", "4 cells", "3")
    refused(train(place, PRICES, data_csv=prices(_9="1,u")), "data.csv:9", "2 cells")


@DATA.row("B32", "two columns of one name are refused with their places")
def _(place: Path) -> None:
    refused(train(place, PRICES, data_csv=prices(_1="size,size,price")), "data.csv", "1 and 2", "'size'")


@DATA.row("B33", "semicolons are found out; where another separator was said, they are suggested")
def _(place: Path) -> None:
    text = prices().replace(",", ";")
    refused(train(place, PRICES.replace("price}", "price, separator: ','}"), data_csv=text), "';'", "separator")
    accepted(train(place, PRICES, data_csv=text))


@DATA.row("B34", "decimal commas are recognised and the setting named; set, they are read")
def _(place: Path) -> None:
    text = "size;price\n" + "".join(f"{i % 7},5;{i},25\n" for i in range(40))
    refused(train(place, PRICES, data_csv=text), "data.csv:2", "decimal: ','")
    accepted(train(place, PRICES.replace("price}", "price, decimal: ','}"), data_csv=text))


@DATA.row("B35", "bytes that are no UTF-8 are named with line and offset")
def _(place: Path) -> None:
    good = prices().encode()
    refused(train(place, PRICES, data_csv=good + b"3,\xff,5\n"), "data.csv:42", f"byte {len(good) + 2}", "encoding")


@DATA.row("B36", "a byte order mark is passed over; UTF-16 is recognised, and read where it is said")
def _(place: Path) -> None:
    accepted(train(place, PRICES, data_csv=prices().encode("utf-8-sig")))
    refused(train(place, PRICES, data_csv=prices().encode("utf-16")), "data.csv", "UTF-16")
    accepted(train(place, PRICES.replace("price}", "price, encoding: utf-16}"), data_csv=prices().encode("utf-16")))


@DATA.row("B37", "a NUL byte is named with its line")
def _(place: Path) -> None:
    refused(train(place, PRICES, data_csv=prices(_9="3,\0,5")), "data.csv:9", "NUL")


@DATA.row("B38", "a cell of 20 MB is refused with its row, one of 200 kB is read")
def _(place: Path) -> None:
    refused(train(place, PRICES, data_csv=prices(_9=f"3,{'u' * 20_000_000},5")), "data.csv:9", "16,777,216", "quote")
    accepted(train(place, PRICES, data_csv=prices(_9=f"3,{'u' * 200_000},5")))


@DATA.row("B39", "a quote that is never closed is named with the line on which it opens")
def _(place: Path) -> None:
    refused(train(place, PRICES, data_csv=prices(_9='3,"u,5')), "data.csv:9", "never closed")
