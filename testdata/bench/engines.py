"""One job on one engine, in a process of its own: engines.py ENGINE JOB INPUT OUTPUT [OPTION=VALUE...]

It writes the result as text and prints the seconds that the query took, without the start of Python, the engine's import
and Spark's session. Each query has the fastest form found that the engine's documentation teaches.

Results, a line each:
    wordcount             word,count               a word is a run of ASCII letters
    stats                 station;min;mean;max     the mean with four decimals
    sort                  the lines in order
    grep                  the lines that match
    distinct              value,count

Options: pattern (grep), memory (bytes, for sort and distinct), key and secret (an INPUT that is an http:// URL), spill
(a folder).
"""

import sys
import time

THREADS = 2


def duckdb(job, source, out, pattern="", memory=0, spill="", **_):
    import duckdb

    con = duckdb.connect(config={"threads": THREADS, "temp_directory": spill or out + ".spill"})
    if memory:  # the order of the input needs memory, and neither a sort nor groups need the order
        con.execute(f"SET memory_limit = '{int(memory)}B'")
        con.execute("SET preserve_insertion_order = false")

    def csv(columns, delimiter):
        return (f"read_csv('{source}', columns={columns}, delim={delimiter}, quote='', escape='', header=false, "
                "auto_detect=false)")

    line = csv("{'line': 'VARCHAR'}", "e'\\x01'")
    queries = {
        "wordcount": f"""SELECT word, count(*) FROM (SELECT unnest(string_split_regex(line, '[^A-Za-z]+')) AS word FROM {line})
                         WHERE word <> '' GROUP BY word""",
        "stats": f"""SELECT s, printf('%.1f', min(t)), printf('%.4f', avg(t)), printf('%.1f', max(t))
                     FROM {csv("{'s': 'VARCHAR', 't': 'DOUBLE'}", "';'")} GROUP BY s""",
        "sort": f"SELECT line FROM {line} ORDER BY line",
        "grep": f"SELECT line FROM {line} WHERE regexp_matches(line, '{pattern}')",
        "grep-literal": f"SELECT line FROM {line} WHERE contains(line, '{pattern}')",
        "distinct": f"SELECT line, count(*) FROM {line} GROUP BY line",
    }
    delimiter = {"wordcount": "','", "stats": "';'", "distinct": "','"}.get(job, "e'\\x01'")
    con.execute(f"COPY ({queries[job]}) TO '{out}' (FORMAT csv, HEADER false, QUOTE '', DELIMITER {delimiter})")


def clickhouse(job, source, out, pattern="", memory=0, key="", secret="", **_):
    import chdb

    if source.startswith("http"):
        table = f"s3('{source}', '{key}', '{secret}', 'LineAsString', 'line String')"
    else:
        table = f"file('{source}', 'LineAsString', 'line String')"
    queries = {
        "wordcount": f"SELECT word, count() FROM (SELECT arrayJoin(alphaTokens(line)) AS word FROM {table}) GROUP BY word",
        "stats": f"""SELECT s, printf('%.1f', min(t) / 10), printf('%.4f', avg(t) / 10), printf('%.1f', max(t) / 10)
                     FROM (SELECT splitByChar(';', line) AS f, f[1] AS s, toInt16(replaceOne(f[2], '.', '')) AS t FROM {table})
                     GROUP BY s""",
        "sort": f"SELECT line FROM {table} ORDER BY line",
        "grep": f"SELECT line FROM {table} WHERE match(line, '{pattern}')",
        "grep-literal": f"SELECT line FROM {table} WHERE line LIKE '%{pattern}%'",
        "distinct": f"SELECT line, count() FROM {table} GROUP BY line",
    }
    settings = f"max_threads = {THREADS}, format_custom_escaping_rule = 'Raw'"
    settings += f", format_custom_field_delimiter = '{';' if job == 'stats' else ','}'"
    if memory:  # a quarter of it for the state that is spilled: the rest is buffers
        state = int(memory) // 4
        settings += f", max_memory_usage = {memory}, max_bytes_before_external_sort = {state}, max_bytes_before_external_group_by = {state}"
        settings += ", max_block_size = 16384"
    style = "CustomSeparated" if job in ("wordcount", "stats", "distinct") else "TSVRaw"
    answer = chdb.query(f"{queries[job]} INTO OUTFILE '{out}' TRUNCATE FORMAT {style} SETTINGS {settings}")
    if answer.has_error():
        raise RuntimeError(answer.error_message())


def polars(job, source, out, pattern="", **_):
    import polars as pl

    line = pl.scan_csv(source, has_header=False, separator="\x01", quote_char=None, new_columns=["line"],
                       schema_overrides=[pl.String])
    if job == "wordcount":
        words = line.select(pl.col("line").str.replace_all("[^A-Za-z]+", " ").str.split(" ").explode().alias("word"))
        query = words.filter(pl.col("word") != "").group_by("word").len()
    elif job == "stats":
        rows = pl.scan_csv(source, has_header=False, separator=";", quote_char=None, schema={"s": pl.String, "t": pl.Float64})
        query = rows.group_by("s").agg(pl.col("t").min().alias("least"), pl.col("t").mean().alias("mean"), pl.col("t").max().alias("most"))
    elif job == "sort":
        query = line.sort("line")
    elif job in ("grep", "grep-literal"):
        query = line.filter(pl.col("line").str.contains(pattern, literal=job == "grep-literal"))
    elif job == "distinct":
        query = line.group_by("line").len()
    query.sink_csv(out, include_header=False, separator=";" if job == "stats" else ",", float_precision=4,
                   quote_style="never", engine="streaming")


def spark_session():
    from pyspark.sql import SparkSession

    return (SparkSession.builder.master(f"local[{THREADS}]").config("spark.driver.memory", "6g").config("spark.ui.enabled", "false")
            .config("spark.sql.shuffle.partitions", 2 * THREADS).config("spark.log.level", "ERROR").getOrCreate())


def spark(job, source, out, session=None, pattern="", **_):
    from pyspark.sql import functions as f

    line = session.read.text(source)
    if job == "wordcount":
        word = line.select(f.explode(f.split("value", "[^A-Za-z]+")).alias("word")).where("word <> ''")
        result = word.groupBy("word").count().select(f.concat_ws(",", "word", "count"))
    elif job == "stats":
        rows = session.read.csv(source, sep=";", schema="s STRING, t DOUBLE")
        stats = rows.groupBy("s").agg(f.min("t").alias("least"), f.avg("t").alias("mean"), f.max("t").alias("most"))
        result = stats.select(f.format_string("%s;%.1f;%.4f;%.1f", "s", "least", "mean", "most"))
    elif job == "sort":
        result = line.sort("value")
    elif job in ("grep", "grep-literal"):
        result = line.where(f.col("value").rlike(pattern) if job == "grep" else f.col("value").contains(pattern))
    elif job == "distinct":
        result = line.groupBy("value").count().select(f.concat_ws(",", "value", "count"))
    result.write.mode("overwrite").text(out)


def main(engine, job, source, out, *options):
    options = dict(o.split("=", 1) for o in options)
    if engine == "spark":
        options["session"] = spark_session()
    else:
        __import__({"clickhouse": "chdb"}.get(engine, engine))
    begun = time.monotonic()
    globals()[engine](job, source, out, **options)
    print("seconds", time.monotonic() - begun)


if __name__ == "__main__":
    main(*sys.argv[1:])
