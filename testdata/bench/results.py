"""What a program computed, in a form that can be compared: same(fingerprint(kind, a), fingerprint(kind, b)).

Fingerprints are taken by a process of their own, `results.py KIND OUT 0|1`, for a program's largest memory begins with that
of the process that starts it: the measuring one has to stay small.
"""

import glob
import hashlib
import json
import os
import subprocess
import sys
from types import SimpleNamespace


def fingerprint(kind, program):
    command = [sys.executable, __file__, kind, program.out, "1" if program.arrow else "0"]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def same(a, b):
    """Whether two fingerprints are equal; of statistics, the means may be rounded otherwise."""
    if not isinstance(a, dict):
        return a == b
    return a.keys() == b.keys() and all(a[k][::2] == b[k][::2] and abs(a[k][1] - b[k][1]) < 1.01e-4 for k in a)


def take(kind, program):
    """Of sorted lines a digest, of statistics all of them, of others the count and two sums of hashes, in whatever order."""
    if kind == "sort":
        return digest(program)
    if kind == "stats":
        return statistics(program)
    lines = millrace_lines(kind, program.out) if program.arrow else text_lines(kind, program)
    sums = [pl.col("line").hash(seed).sum().alias(str(seed)) for seed in (1, 2)]
    return lines.select(pl.len(), *sums).collect(engine="streaming").row(0)


def statistics(program):
    """Minimum, mean and maximum by station."""
    if program.arrow:
        rows = pl.scan_ipc(parts(program.out)).select("key", "min", "mean", "max").collect().rows()
    else:
        rows = [line.split(";") for line in text_lines("stats", program).collect()["line"]]
    return {key: (float(least), float(mean), float(most)) for key, least, mean, most in rows}


def millrace_lines(kind, out):
    rows = pl.scan_ipc(parts(out))
    if kind == "wordcount":
        return rows.select(pl.format("{},{}", "word", "n").alias("line"))
    if kind == "grep":
        return rows.select("line")
    return rows.select(pl.col("value").alias("line"))  # distinct: the counts are all 1, and sort -u has none


def text_lines(kind, program):
    files = sorted(glob.glob(f"{program.out}/part-*")) or [str(program.out)]
    files = [f for f in files if os.path.getsize(f) > 0]
    if not files:
        return pl.LazyFrame({"line": []}, schema={"line": pl.String})
    lines = pl.concat([pl.scan_csv(f, has_header=False, separator="\x01", quote_char=None, new_columns=["line"],
                                   schema_overrides=[pl.String]) for f in files])
    if kind == "distinct":
        return lines.select(pl.col("line").str.split(",").list.first())
    return lines


def digest(program):
    h = hashlib.blake2b()
    if program.arrow:
        for part in parts(program.out):
            pl.scan_ipc(part).sink_csv(f"{program.out}.text", include_header=False, quote_style="never", engine="streaming")
            add(h, f"{program.out}.text")
    else:
        for path in sorted(glob.glob(f"{program.out}/part-*")) or [str(program.out)]:
            add(h, path)
    return h.hexdigest()


def add(h, path):
    with open(path, "rb") as f:
        while block := f.read(1 << 22):
            h.update(block)


def parts(out):
    return sorted(glob.glob(f"{out}/part-*.arrow"))


if __name__ == "__main__":
    import polars as pl

    print(json.dumps(take(sys.argv[1], SimpleNamespace(out=sys.argv[2], arrow=sys.argv[3] == "1"))))
