"""Writes CSV files into a folder with Python's csv, DuckDB, Polars and pyarrow, and files.json with what Python's csv reads in them."""
import csv
import json
import os
import random
import sys

import duckdb
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

with open(os.path.join(folder, "files.json"), "w") as f:
    json.dump(files, f)
