"""Reads Arrow files with a library and prints each row as one line of JSON.

    check.py LIBRARY FILE...      LIBRARY: pyarrow, polars or duckdb

A line with the file's name goes before its rows, and one with the column types. Values are printed exactly: integers with
all digits, floats as the hexadecimal form of their bits in 64, bytes in hexadecimal, timestamps as integer nanoseconds.
"""

import json
import os
import struct
import sys


def exact(value):
    if isinstance(value, bool) or value is None or isinstance(value, (int, str)):
        return value
    if isinstance(value, float):
        if value != value:
            return "float nan"
        return "float " + struct.pack(">d", value).hex()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return "bytes " + bytes(value).hex()
    if isinstance(value, dict):
        return {k: exact(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [exact(v) for v in value]
    raise TypeError(f"value of type {type(value)}")


def times_as_integers(table):
    """Timestamps of nanoseconds have no exact Python type: they become the integers they are stored as."""
    import pyarrow as pa

    for i, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type):
            table = table.set_column(i, field.name, table.column(i).cast(pa.int64()))
    return table


def with_pyarrow(path):
    import pyarrow as pa
    import pyarrow.feather
    import pyarrow.ipc

    with pa.memory_map(path) as source:
        table = pa.ipc.open_file(source).read_all()
    table.validate(full=True)
    rows = times_as_integers(table).to_pylist()
    again = times_as_integers(pyarrow.feather.read_table(path)).to_pylist()
    assert exact(rows) == exact(again), "pyarrow.ipc and pyarrow.feather differ"
    return [f"{f.name} {f.type}" for f in table.schema], rows


def with_polars(path):
    import polars as pl

    frame = pl.read_ipc(path)
    assert frame.equals(pl.scan_ipc(path).collect(), null_equal=True), "read_ipc and scan_ipc differ"
    kinds = [f"{name} {kind}" for name, kind in frame.schema.items()]
    times = [name for name, kind in frame.schema.items() if isinstance(kind, pl.Datetime)]
    return kinds, frame.with_columns(pl.col(times).to_physical()).to_dicts()


def with_duckdb(path):
    """DuckDB reads Arrow through pyarrow's dataset: its own reader of Arrow files is an extension, fetched over the net."""
    import duckdb
    import pyarrow.dataset

    data = pyarrow.dataset.dataset(path, format="arrow")
    con = duckdb.connect()
    con.register("data", data)
    kinds = [f"{name} {kind}" for name, kind, *_ in con.sql("DESCRIBE data").fetchall()]
    times = [k.split()[0] for k in kinds if "TIMESTAMP" in k]
    swap = ", ".join(f'epoch_ns("{t}") AS "{t}"' for t in times)
    query = f"SELECT * REPLACE ({swap}) FROM data" if times else "SELECT * FROM data"
    got = con.sql(query)
    return kinds, [dict(zip(got.columns, row)) for row in got.fetchall()]


def main():
    read = {"pyarrow": with_pyarrow, "polars": with_polars, "duckdb": with_duckdb}[sys.argv[1]]
    for path in sys.argv[2:]:
        kinds, rows = read(path)
        print(json.dumps({"file": os.path.basename(path), "types": kinds}))
        for row in rows:
            print(json.dumps(exact(row), ensure_ascii=False, separators=(",", ":")))


main()
