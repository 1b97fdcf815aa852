"""Computes what a job that ships must give, and compares it with the parts: shipped.py JOB PARAMS OUTPUT INPUT.

PARAMS is JSON, INPUT the folder of the input's files. Each job is computed with what Python has, in another way than the
job's: regular expressions, fractions, counters, sorting. It prints what was compared, or the first difference and exits 1.
"""

import collections
import datetime
import fractions
import glob
import json
import math
import os
import re
import sys
import unicodedata

import duckdb
import pyarrow
import pyarrow.dataset

Counter, defaultdict = collections.Counter, collections.defaultdict
job, params, output, folder = sys.argv[1], json.loads(sys.argv[2]) or {}, sys.argv[3], sys.argv[4]
paths = sorted(glob.glob(folder + "/*"))


def flag(name):
    return params.get(name) == "true"


def texts():
    for path in paths:
        with open(path, "rb") as f:
            yield "file://" + path, f.read()


def lines():
    for _, data in texts():
        for line in data.decode().split("\n")[: None if data and not data.endswith(b"\n") else -1]:
            yield line.removesuffix("\r")


def words(text):
    """Yields runs of letters with their offset in characters."""
    begin = None
    for i, c in enumerate(text + " "):
        if unicodedata.category(c)[0] == "L":
            begin = i if begin is None else begin
        elif begin is not None:
            yield begin, text[begin:i]
            begin = None


LOG = re.compile(
    r'(?P<host>\S+) (?P<ident>\S+) (?P<user>\S+) \[(?P<time>.{26})\] "(?P<method>\S+) (?P<url>\S+) (?P<protocol>\S+)" '
    r'(?P<status>\d+) (?P<bytes>\d+|-) "(?P<referer>[^"]*)" "(?P<agent>[^"]*)"'
)


def hits():
    for line in lines():
        hit = LOG.fullmatch(line).groupdict()
        hit["time"] = datetime.datetime.strptime(hit["time"], "%d/%b/%Y:%H:%M:%S %z").astimezone(datetime.timezone.utc)
        hit["bytes"] = int(hit["bytes"].replace("-", "0"))
        hit["hour"] = hit["time"].strftime("%Y-%m-%d %H:00")
        yield hit


def access():
    rows = defaultdict(lambda: [0] * 5)
    for hit in hits():
        row = rows[hit[params.get("by", "url")]]
        row[0] += 1
        row[1] += hit["bytes"]
        if hit["status"][0] in "345":
            row[int(hit["status"][0]) - 1] += 1
    names = ["hits", "bytes", "redirects", "client_errors", "server_errors"]
    return [{"key": key, **dict(zip(names, row))} for key, row in rows.items()]


def topk():
    counts = Counter()
    for line in lines():
        value = line
        if params.get("field"):
            value = line.split(params["separator"])[int(params["field"]) - 1]
        counts.update([w.lower() if flag("lower") else w for _, w in words(value)] if flag("words") else [value])
    # Strings compare by code points, as UTF-8 does by bytes.
    best = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[: int(params["k"])]
    return [{"rank": i + 1, "value": value, "count": n} for i, (value, n) in enumerate(best)]


def histogram():
    counts = Counter()
    for line in lines():
        key, _, value = line.rpartition(";")
        value = fractions.Fraction(value)
        if "width" in params:
            width = fractions.Fraction(params["width"])
            lower = value // width * width
            bucket = lower, lower + width
        else:
            bounds = [None] + [fractions.Fraction(b) for b in params["bounds"].split(",")] + [None]
            i = max(i for i, b in enumerate(bounds[:-1]) if b is None or b <= value)
            bucket = bounds[i], bounds[i + 1]
        counts[key, bucket] += 1
    number = lambda x: None if x is None else float(x)
    return [{"key": key, "lower": number(b[0]), "upper": number(b[1]), "count": n} for (key, b), n in counts.items()]


def invertedindex():
    index = defaultdict(lambda: defaultdict(list))
    for name, data in texts():
        text = data.decode()
        at = [0]  # offset in bytes of each character
        for c in text:
            at.append(at[-1] + len(c.encode()))
        for i, word in words(text):
            if len(word) >= int(params.get("min-length", 1)):
                index[word.lower() if flag("lower") else word][name].append(at[i])
    rows = []
    for word, documents in index.items():
        postings = []
        for document in sorted(documents):
            places = documents[document]
            posting = {"document": document, "count": len(places)}
            if flag("positions"):
                posting["positions"] = places
            postings.append(posting)
        if params.get("layout") == "rows":
            rows += [{"word": word, **p} for p in postings]
        else:
            total = sum(p["count"] for p in postings)
            rows.append({"word": word, "documents": len(postings), "count": total, "postings": postings})
    return rows


def links():
    edges = Counter(tuple(line.split("\t")) for line in lines())
    if params.get("layout") == "rows":
        return [{"target": target, "source": source, "links": n} for (source, target), n in edges.items()]
    rows = defaultdict(lambda: [0, []])
    for (source, target), n in sorted(edges.items()):
        rows[target][0] += n
        rows[target][1].append(source)
    return [{"target": t, "links": n, "count": len(sources), "sources": sources} for t, (n, sources) in rows.items()]


def sessions():
    idle = datetime.timedelta(**{{"m": "minutes", "s": "seconds"}[params.get("idle", "30m")[-1]]: int(params.get("idle", "30m")[:-1])})
    groups = defaultdict(list)
    for hit in hits():
        groups[hit["host"] + (" " + hit["agent"] if params.get("by") == "visitor" else "")].append((hit["time"], hit["bytes"]))
    rows = []
    for key, group in groups.items():
        group.sort()
        n = 0
        for i, (time, size) in enumerate(group):
            if i == 0 or time - group[i - 1][0] > idle:
                n += 1
                rows.append({"key": key, "session": n, "start": time, "end": time, "hits": 0, "bytes": 0})
            row = rows[-1]
            row["end"] = time
            row["hits"] += 1
            row["bytes"] += size
    return rows


def termvector():
    rows = []
    for name, data in texts():
        found = [word.lower() if flag("lower") else word for _, word in words(data.decode())]
        counts = Counter(found)
        best = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[: int(params["terms"])]
        terms = [{"term": term, "count": n} for term, n in best]
        if found:
            rows.append({"host": name, "words": len(found), "distinct": len(counts), "terms": terms})
    return rows


def quantiles():
    """Has the exact values at the ranks next to the wanted one, of which an estimate is near to one."""
    groups = defaultdict(list)
    for line in lines():
        key, _, value = line.rpartition(";")
        groups[key].append(float(value))
    rows = []
    for key, values in groups.items():
        values.sort()
        for q in map(float, params["quantiles"].split(",")):
            rank = q * (len(values) - 1)
            exact = values[math.floor(rank)], values[math.ceil(rank)]
            rows.append({"key": key, "quantile": q, "value": exact, "count": len(values)})
    return rows


def countdistinct():
    groups = defaultdict(list)
    for line in lines():
        fields = line.split(params["separator"])
        key = fields[int(params["key"]) - 1] if "key" in params else ""
        groups[key].append(fields[int(params["field"]) - 1])
    rows = []
    for key, values in groups.items():
        n = len(set(values))
        rows.append({"key": key, "distinct": n, "exact": n <= 1024, "lines": len(values)})
    return rows


def join():
    """Lets DuckDB join."""
    sides = {}
    for side in ("left", "right"):
        texts = [line for path in sorted(glob.glob(f"{folder}/{side}/*")) for line in open(path, newline="\n").read().splitlines()]
        field, separator = int(params.get(side + "-field", 1)), params[side + "-separator"]
        sides[side] = pyarrow.table({"key": [line.split(separator)[field - 1] for line in texts], "line": texts})
    l, r = sides["left"], sides["right"]
    table = duckdb.sql(
        f"""select coalesce(l.key, r.key) as key, l.line as "left", r.line as "right" from l {params['type']} join r on l.key = r.key"""
    ).arrow()
    return (table.read_all() if hasattr(table, "read_all") else table).to_pylist()


def secondarysort():
    pairs = (line.split(params["separator"]) for line in lines())
    rows = [{"key": key, "value": float(value)} for key, value in pairs]
    groups = defaultdict(list)
    for row in got:
        groups[row["key"]].append(row["value"])
    for key, values in groups.items():
        if values != sorted(values, reverse=params["order"] == "down"):
            sys.exit(f"the values of {key} are not in order")
    return rows


def near(got, want):
    """Compares rows of estimates: those of quantiles have a bound on the error, those of counts a standard error."""
    if job == "quantiles":
        error, value = float(params.get("error", 0.01)) + 1e-9, got["value"]
        if any(abs(value - exact) <= error * abs(exact) for exact in want["value"]):
            want = {**want, "value": value}
    if job == "countdistinct" and not want["exact"]:
        if abs(got["distinct"] - want["distinct"]) <= 5 * 0.0081 * want["distinct"]:
            want = {**want, "distinct": got["distinct"]}
    return got == want


parts = sorted(glob.glob(output + "/part-*.arrow"))
got = pyarrow.dataset.dataset(parts, format="arrow").to_table().to_pylist()
want = globals()[job]()
# Of estimates the first two columns tell rows apart.
order = lambda row: json.dumps(list(row.values())[: 2 if job == "quantiles" else 1 if job == "countdistinct" else None], default=str)
got.sort(key=order)
want.sort(key=order)
for g, w in zip(got, want):
    if not near(g, w):
        sys.exit(f"a row is\n{g}\nwant\n{w}")
if len(got) != len(want) or not got:
    sys.exit(f"{len(got)} rows in {len(parts)} parts, want {len(want)}")
print(f"{len(got):,} rows in {len(parts)} parts, of {sum(map(os.path.getsize, paths)):,} bytes, are as Python computes them")
