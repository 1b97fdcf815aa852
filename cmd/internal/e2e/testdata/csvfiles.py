"""Writes CSV files into a folder with Python's csv, DuckDB, Polars, pyarrow and pandas, and files.json with what Python's csv reads in them."""
import csv
import json
import os
import random
import sys

import duckdb
import pandas
import polars
import pyarrow
import pyarrow.csv

folder = sys.argv[1]
random.seed(11)
texts = ["", "a", "some words", "one, two", 'say "yes"', '"', '""', "two\nlines", "three\r\nlines\r\n", '"\n,"', "tab\there", "ünï", "語 語",
         "semi;colon", " spaces ", "a long text, " * 12, "\n\n\n", '","', "'", "\\", "#"]
header = ["id", "text", "more text", "n"]
rows = [[str(i), random.choice(texts), random.choice(texts), str(random.randrange(10**9))] for i in range(120)]
files = []


def add(name, comma):
    with open(os.path.join(folder, name), newline="", encoding="utf-8-sig") as f:
        read = [r for r in csv.reader(f, delimiter=comma) if r]
    files.append({"name": name, "comma": comma, "rows": read})


def write(name, comma, encoding="utf-8", **how):
    with open(os.path.join(folder, name), "w", newline="", encoding=encoding) as f:
        w = csv.writer(f, delimiter=comma, **how)
        w.writerow(header)
        w.writerows(rows)
    add(name, comma)
    assert files[-1]["rows"] == [header] + rows, name


write("excel.csv", ",", dialect="excel")
write("excel-tab.tsv", "\t", dialect="excel-tab")
write("unix.csv", ",", dialect="unix")
write("bom.csv", ",", encoding="utf-8-sig", dialect="excel")
write("semicolon.csv", ";", quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")

with open(os.path.join(folder, "blank.csv"), "w", newline="") as f:
    f.write("\r\n".join(["", "a,b", "", '"1","\r\n"', "", ",", '"",""']))
add("blank.csv", ",")

made = pyarrow.table({name: [r[i] for r in rows] for i, name in enumerate(header)})
duckdb.sql("COPY (SELECT * FROM made) TO '%s' (HEADER, DELIMITER ',')" % os.path.join(folder, "duckdb.csv"))
add("duckdb.csv", ",")
polars.from_arrow(made).write_csv(os.path.join(folder, "polars.csv"))
add("polars.csv", ",")
pyarrow.csv.write_csv(made, os.path.join(folder, "pyarrow.csv"))
add("pyarrow.csv", ",")

# pandas: an index, whose column has a name or none, missing values as nothing and as NaN, numbers unquoted beside quoted text.
frame = pandas.DataFrame({"text": [r[1] for r in rows], "price": [None if i % 5 == 0 else i / 8 for i in range(len(rows))],
                          "more text": [None if i % 7 == 0 else r[2] for i, r in enumerate(rows)], "even": [i % 2 == 0 for i in range(len(rows))]})
for name, comma, how in [
    ("pandas.csv", ",", {}),
    ("pandas-named.csv", ",", {"index_label": "row number", "na_rep": "NaN", "quoting": csv.QUOTE_NONNUMERIC}),
    ("pandas.tsv", "\t", {"sep": "\t", "index": False, "quoting": csv.QUOTE_ALL, "lineterminator": "\r\n", "encoding": "utf-8-sig"}),
]:
    frame.to_csv(os.path.join(folder, name), **how)
    add(name, comma)
    read = files[-1]["rows"]
    assert len(read) == 1 + len(rows) and {len(r) for r in read} == {len(read[0])}, name
    at = read[0].index("more text")
    assert [r[at] for r in read[1:]] == [how.get("na_rep", "") if v is None or v != v else v for v in frame["more text"]], name
assert files[-3]["rows"][0][0] == "" and files[-3]["rows"][1][0] == "0" and files[-2]["rows"][1][2] == "NaN"

with open(os.path.join(folder, "files.json"), "w") as f:
    json.dump(files, f)
