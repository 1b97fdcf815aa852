"""Writes Arrow and Parquet files with pyarrow, DuckDB and Polars, and what they themselves read back from each.

    write.py FOLDER [small]

For each file NAME there is NAME.json, with the rows as one list of JSON objects. Values are exact: floats as the hexadecimal form
of their bits in 64, bytes in hexadecimal, times and durations as integer nanoseconds, dates as days, decimals as text. With
"small" the files have few rows: they are the ones under testdata.
"""

import datetime
import decimal
import json
import os
import struct
import sys

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.feather
import pyarrow.ipc
import pyarrow.parquet as pq

FACTORS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}


def plain(value):
    """A Python value exactly."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return "float nan" if value != value else "float " + struct.pack(">d", value).hex()
    if isinstance(value, (bytes, bytearray)):
        return "bytes " + bytes(value).hex()
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    raise TypeError(type(value))


def exact(scalar):
    """An Arrow value exactly."""
    t = scalar.type
    if not scalar.is_valid:
        return None
    if pa.types.is_dictionary(t):
        return exact(scalar.value)
    if isinstance(scalar, pa.ExtensionScalar):
        return exact(scalar.value)
    if pa.types.is_timestamp(t) or pa.types.is_time(t) or pa.types.is_duration(t):
        return scalar.value * FACTORS[t.unit]
    if pa.types.is_date32(t):
        return scalar.value
    if pa.types.is_date64(t):
        return scalar.value * FACTORS["ms"]
    if pa.types.is_struct(t):
        return {f.name: exact(scalar[i]) for i, f in enumerate(t)}
    if pa.types.is_map(t):
        return [{"key": exact(e["key"]), "value": exact(e["value"])} for e in scalar.values]
    if pa.types.is_list(t) or pa.types.is_large_list(t) or pa.types.is_fixed_size_list(t):
        return [exact(e) for e in scalar.values]
    if pa.types.is_float16(t):
        return plain(float(scalar.as_py()))
    return plain(scalar.as_py())


def rows_of(table):
    columns = {name: [exact(v) for v in table.column(name)] for name in table.column_names}
    return [{name: columns[name][i] for name in columns} for i in range(table.num_rows)]


def nullable(values, every=3):
    return [None if i % every == 1 else v for i, v in enumerate(values)]


def flat(n):
    """A column of each flat type, half of them with nulls."""
    day = datetime.date(2026, 3, 1)
    rng = range(n)
    columns = {}

    def add(name, values, t):
        columns[name] = pa.array(values, type=t)
        columns[name + "_null"] = pa.array(nullable(values), type=t)

    for bits in (8, 16, 32, 64):
        top = 2**bits
        add(f"i{bits}", [(i * 2654435761 % top) - top // 2 for i in rng], getattr(pa, f"int{bits}")())
        add(f"u{bits}", [i * 2654435761 % top for i in rng], getattr(pa, f"uint{bits}")())
    add("f32", [struct.unpack("f", struct.pack("f", i / 7))[0] for i in rng], pa.float32())
    add("f64", [float("nan") if i % 11 == 5 else i / 7 for i in rng], pa.float64())
    add("flag", [i % 3 == 0 for i in rng], pa.bool_())
    add("word", ["" if i % 5 == 0 else "日本 🙂 %d" % (i % 7) for i in rng], pa.string())
    add("long", ["%d a text that is longer than twelve bytes" % i for i in rng], pa.string())
    add("raw", [bytes([i % 256, 255]) * (i % 3) for i in rng], pa.binary())
    add("fixed", [bytes([i % 256] * 5) for i in rng], pa.binary(5))
    add("day", [day + datetime.timedelta(days=i * 1000 - 300000) for i in range(n % 700)] + [day] * (n - n % 700), pa.date32())
    for unit in ("ms", "us", "ns"):
        add("at_" + unit, [i * 10**9 + 1 for i in rng], pa.timestamp(unit))
    add("zoned", [i * 10**9 - 5 for i in rng], pa.timestamp("us", tz="Europe/Berlin"))
    add("clock", [(i * 1000003) % 86400000 for i in rng], pa.time32("ms"))
    add("clock64", [(i * 1000003) % 86400000000 for i in rng], pa.time64("us"))
    add("span", [i * 1000003 - 7 for i in rng], pa.duration("ns"))
    add("price", [decimal.Decimal(i * 37 - 1000).scaleb(-2) for i in rng], pa.decimal128(9, 2))
    add("huge", [decimal.Decimal((i - 5) * 10**25 + i).scaleb(-5) for i in rng], pa.decimal128(38, 5))
    return pa.table(columns)


def nested(n):
    lists = [None if i % 7 == 3 else [None if j == 2 else i * 10 + j for j in range(i % 5)] for i in range(n)]
    points = [None if i % 5 == 2 else {"x": i, "label": None if i % 3 == 0 else "p%d" % i} for i in range(n)]
    deep = [None if i % 9 == 8 else [{"name": "n%d" % j, "tags": None if j == 1 else ["t%d" % k for k in range(j)]} for j in range(i % 4)] for i in range(n)]
    maps = [None if i % 6 == 5 else [("k%d" % j, i + j) for j in range(i % 3)] for i in range(n)]
    grid = [[[i, i + 1], [], None] if i % 2 else [] for i in range(n)]
    point = pa.struct([("x", pa.int32()), ("label", pa.string())])
    return pa.table({
        "id": pa.array(range(n), pa.int64()),
        "numbers": pa.array(lists, pa.list_(pa.int64())),
        "point": pa.array(points, point),
        "inner": pa.array([{"point": p, "n": i} for i, p in enumerate(points)], pa.struct([("point", point), ("n", pa.int64())])),
        "deep": pa.array(deep, pa.list_(pa.struct([("name", pa.string()), ("tags", pa.list_(pa.string()))]))),
        "map": pa.array(maps, pa.map_(pa.string(), pa.int32())),
        "grid": pa.array(grid, pa.list_(pa.list_(pa.int16()))),
        "pair": pa.array([[i, -i] for i in range(n)], pa.list_(pa.int8(), 2) if n < 100 else pa.list_(pa.int32(), 2)),
    })


def odd(n):
    """What only Arrow files have."""
    half = pa.array([i / 4 for i in range(n)], pa.float32()).cast(pa.float16())
    return pa.table({
        "half": half,
        "seconds": pa.array(nullable(list(range(n))), pa.timestamp("s")),
        "date64": pa.array(nullable([i * 86400000 for i in range(n)]), pa.date64()),
        "span_s": pa.array(nullable([i - 5 for i in range(n)]), pa.duration("s")),
        "clock_ns": pa.array(nullable(list(range(n))), pa.time64("ns")),
        "clock_s": pa.array(nullable(list(range(n))), pa.time32("s")),
        "nothing": pa.nulls(n),
        "large": pa.array(nullable(["large %d" % i for i in range(n)]), pa.large_string()),
        "large_raw": pa.array(nullable([b"%d" % i for i in range(n)]), pa.large_binary()),
        "large_list": pa.array(nullable([list(range(i % 4)) for i in range(n)]), pa.large_list(pa.int32())),
        "view": pa.array(nullable(["v%d" % i if i % 2 else "a view of more than twelve bytes %d" % i for i in range(n)]), pa.string_view()),
        "raw_view": pa.array(nullable([b"v%d" % i if i % 2 else b"a view of more than twelve bytes %d" % i for i in range(n)]), pa.binary_view()),
        "dict": pa.array(nullable(["d%d" % (i % 5) for i in range(n)])).dictionary_encode(),
        "dict_u8": pa.array(nullable([i % 5 for i in range(n)])).dictionary_encode().cast(pa.dictionary(pa.uint8(), pa.int64())),
        "dec256": pa.array([decimal.Decimal(i - 3).scaleb(-1) for i in range(n)], pa.decimal256(50, 1)),
        "dicts": pa.ListArray.from_arrays(pa.array([2 * i for i in range(n + 1)], pa.int32()),
                                          pa.array(["x%d" % (i % 3) for i in range(2 * n)]).dictionary_encode()),
    })


class Writer:
    def __init__(self, folder):
        self.folder = folder

    def path(self, name):
        return os.path.join(self.folder, name)

    def expect(self, name, table):
        with open(self.path(name + ".json"), "w", encoding="utf-8") as f:
            json.dump(rows_of(table), f)

    def parquet(self, name, table, rows=None, **options):
        pq.write_table(table, self.path(name), row_group_size=rows, **options)
        self.expect(name, pq.read_table(self.path(name)))

    def ipc(self, name, table, rows, compression=None, stream=False):
        options = pa.ipc.IpcWriteOptions(compression=compression, emit_dictionary_deltas=stream)
        new = pa.ipc.new_stream if stream else pa.ipc.new_file
        with new(self.path(name), table.schema, options=options) as w:
            w.write_table(table, max_chunksize=rows)
        with pa.OSFile(self.path(name)) as f:
            self.expect(name, (pa.ipc.open_stream if stream else pa.ipc.open_file)(f).read_all())


def with_pyarrow(w, n):
    f, deep = flat(n), nested(n)
    rows = max(5, n // 4)
    small_pages = {"data_page_size": 256, "write_batch_size": 64}
    for codec in ("none", "snappy", "gzip", "brotli", "zstd", "lz4"):
        w.parquet(f"flat-{codec}.parquet", f, rows, compression=codec, **small_pages)
        w.parquet(f"flat-v2-{codec}.parquet", f, rows, compression=codec, data_page_version="2.0", **small_pages)
    w.parquet("flat-plain.parquet", f.drop(["at_ns", "at_ns_null"]), rows, use_dictionary=False, compression="none", version="1.0", **small_pages)
    w.parquet("flat-crc.parquet", f, rows, write_page_checksum=True)
    w.parquet("flat-unnamed.parquet", f.drop(["span", "span_null"]), rows, store_schema=False)
    w.parquet("int96.parquet", f.select(["at_us", "at_us_null"]), rows, use_deprecated_int96_timestamps=True)
    ints = [c for c in f.column_names if c.startswith(("i", "u", "at", "day", "clock", "zoned"))]
    texts = [c for c in f.column_names if c.startswith(("word", "long", "raw"))]
    for version in ("1.0", "2.0"):
        plain = {"use_dictionary": False, "data_page_version": version, **small_pages}
        w.parquet(f"delta-{version}.parquet", f.select(ints), rows, column_encoding={c: "DELTA_BINARY_PACKED" for c in ints}, **plain)
        w.parquet(f"lengths-{version}.parquet", f.select(texts), rows, column_encoding={c: "DELTA_LENGTH_BYTE_ARRAY" for c in texts}, **plain)
        prefixed = texts + ["fixed", "fixed_null"]
        w.parquet(f"prefixes-{version}.parquet", f.select(prefixed), rows, column_encoding={c: "DELTA_BYTE_ARRAY" for c in prefixed}, **plain)
        split = ["f32", "f32_null", "f64", "f64_null", "i32", "i64", "fixed", "fixed_null", "price"]
        w.parquet(f"streams-{version}.parquet", f.select(split), rows, column_encoding={c: "BYTE_STREAM_SPLIT" for c in split}, **plain)
        flags = ["flag", "flag_null"]
        w.parquet(f"flags-{version}.parquet", f.select(flags), rows, column_encoding={c: "RLE" for c in flags}, **plain)
        w.parquet(f"nested-{version}.parquet", deep, rows, data_page_version=version, **small_pages)
    w.parquet("nested-old.parquet", deep, rows, use_compliant_nested_type=False, version="1.0")
    w.parquet("nothing.parquet", pa.table({"n": pa.nulls(n), "i": pa.array(range(n))}), rows)
    w.parquet("half.parquet", pa.table({"half": odd(n)["half"], "dec256": odd(n)["dec256"]}), rows)
    w.parquet("empty.parquet", f.slice(0, 0))
    w.parquet("required.parquet", pa.table([f["i64"], f["word"]], schema=pa.schema(
        [pa.field("i64", pa.int64(), nullable=False), pa.field("word", pa.string(), nullable=False)])), rows)
    for codec in (None, "lz4", "zstd"):
        w.ipc(f"flat-{codec}.arrow", f, rows, codec)
        w.ipc(f"nested-{codec}.arrow", deep, rows, codec)
        w.ipc(f"odd-{codec}.arrow", odd(n), rows, codec)
    w.ipc("empty.arrow", f.slice(0, 0), rows)
    w.ipc("sliced.arrow", deep.slice(3), rows)
    w.ipc("flat.arrows", f, rows, stream=True)
    w.ipc("odd.arrows", odd(n), rows, "zstd", stream=True)
    growing = pa.chunked_array([pa.array(["a", "b", "a"]).dictionary_encode(), pa.array(["a", "b", "c", None]).dictionary_encode()])
    w.ipc("growing.arrows", pa.table({"d": growing}), None, stream=True)
    replaced = pa.chunked_array([pa.array(["a", "b", "a"]).dictionary_encode(), pa.array(["x", "b"]).dictionary_encode()])
    w.ipc("replaced.arrows", pa.table({"d": replaced}), None, stream=True)


def with_duckdb(w, n):
    db = duckdb.connect()
    db.sql("SET TimeZone = 'UTC'")
    db.sql(f"""CREATE TABLE t AS SELECT i AS id, i % 7 AS small, 'word ' || (i % 13) AS word, repeat('x', (i % 50)::INT) AS pad,
        CASE WHEN i % 4 = 0 THEN NULL ELSE (i * 1.5)::DOUBLE END AS price, (i % 2 = 0) AS flag, DATE '2026-01-01' + (i % 100)::INT AS day,
        TIMESTAMP '2026-01-01' + INTERVAL (i) SECOND AS at, TIME '01:02:03' AS clock, (i / 3)::DECIMAL(18, 3) AS dec,
        i::HUGEINT AS large, [i, NULL, i + 1] AS list, {{'a': i, 'b': 'b' || i}} AS point, MAP {{'k': i}} AS map,
        NULL::INT AS nothing, 7 AS seven, encode('blob' || i) AS raw, uuid() AS unique_id
        FROM range({n}) r(i)""")
    for version in ("V1", "V2"):
        for codec in ("uncompressed", "snappy", "gzip", "zstd", "brotli", "lz4_raw"):
            name = f"duckdb-{version}-{codec}.parquet"
            db.sql(f"COPY t TO '{w.path(name)}' (FORMAT parquet, COMPRESSION {codec}, PARQUET_VERSION {version}, ROW_GROUP_SIZE 2048)")
            w.expect(name, db.sql(f"SELECT * REPLACE (unhex(replace(unique_id::VARCHAR, '-', '')) AS unique_id) FROM read_parquet('{w.path(name)}')").to_arrow_table())


def with_polars(w, n):
    frame = pl.from_arrow(flat(n).drop(["fixed", "fixed_null"]))
    deep = pl.from_arrow(nested(n).drop(["map"]))
    words = frame.select(pl.col("word").cast(pl.Categorical), pl.col("word_null").cast(pl.Categorical))
    for codec in ("uncompressed", "snappy", "gzip", "brotli", "zstd", "lz4"):
        name = f"polars-{codec}.parquet"
        frame.write_parquet(w.path(name), compression=codec, row_group_size=max(5, n // 3))
        w.expect(name, pl.read_parquet(w.path(name)).to_arrow())
    for name, f in (("deep", deep), ("words", words)):
        f.write_parquet(w.path(f"polars-{name}.parquet"), data_page_size=512)
        w.expect(f"polars-{name}.parquet", pl.read_parquet(w.path(f"polars-{name}.parquet")).to_arrow())
    for codec in ("uncompressed", "lz4", "zstd"):
        for name, f in (("flat", frame), ("deep", deep), ("words", words)):
            name = f"polars-{name}-{codec}.arrow"
            f.write_ipc(w.path(name), compression=codec)
            w.expect(name, pl.read_ipc(w.path(name)).to_arrow())
    frame.write_ipc_stream(w.path("polars.arrows"))
    w.expect("polars.arrows", pl.read_ipc_stream(w.path("polars.arrows")).to_arrow())


def main():
    w = Writer(sys.argv[1])
    n = 20 if sys.argv[2:] == ["small"] else 300
    with_pyarrow(w, n)
    with_duckdb(w, 5 * n)
    with_polars(w, n)


if __name__ == "__main__":
    main()
