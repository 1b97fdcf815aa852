"""Measures millrace beside the programs that a user could pick instead, and writes docs/benchmarks.md.

`make bench-peers` calls it with Python's libraries installed. Environment (the Makefile's variables):

    JOB      names of jobs to measure again, by spaces; default: those that have no result for these settings yet
    SIZE     bytes of the text; records, numbers and measurements are in proportion to it; default 1000000000
    REPEATS  runs of a program, of which the median counts; default 5
    BUDGET   seconds after which a program is not run again; default 60
    ONLY     names of programs, by spaces; default all
    DIR      folder for data, binaries and results; default millrace/bench in the user's cache
    REPORT   the file with the tables; default docs/benchmarks.md; empty: none

The programs of a job take turns, with two threads each and inputs in the page cache. A program's first result is compared
with millrace's. One that fails, or gives another result, stands in the table as such. A job's result is kept as a file, so
that an interrupted measurement goes on where it was.
"""

import contextlib
import glob
import json
import mmap
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import jobs
import results
import tables

TREE = Path(__file__).resolve().parents[2]
TIMEOUT = 900  # seconds of a run
MOST_BACKED = 4 << 30  # bytes touched before a run
FORMAT = 2  # of a kept result: those of another one are measured again


class Bench:
    """What all jobs share: settings, binaries and data."""

    def __init__(self, env):
        cache = Path(env.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        self.dir = Path(env.get("DIR") or cache / "millrace" / "bench").resolve()
        self.size = int(env.get("SIZE") or 10**9)
        self.repeats = int(env.get("REPEATS") or 5)
        self.budget = float(env.get("BUDGET") or 60)
        self.only = (env.get("ONLY") or "").split()
        self.bin = self.dir / "bin"
        self.data = self.dir / f"data-{self.size}"
        self.out = self.dir / "out"
        for folder in (self.bin, self.data, self.out):
            folder.mkdir(parents=True, exist_ok=True)
        self.python = sys.executable
        self.scripts = Path(sys.executable).parent  # of the environment: rg, duckdb
        self.build("millrace", "./cmd/millrace")
        self.build("byhand", "./testdata/bench/byhand")
        self.millrace = str(self.bin / "millrace")
        self.byhand = str(self.bin / "byhand")

    def build(self, name, package, folder=TREE):
        env = os.environ | {"GOFLAGS": "-mod=readonly", "GOWORK": "off"}
        subprocess.run(["go", "build", "-o", self.bin / name, package], cwd=folder, check=True, env=env)

    def make(self, kind, size):
        """The path of generated data."""
        path = self.data / f"{kind}-{size}"
        if not path.exists():
            subprocess.run([self.millrace, "gen", kind, "--size", str(size), "-o", path], check=True, stderr=subprocess.DEVNULL)
        return str(path)

    def halves(self, path):
        """The paths of the two halves of a file of lines, for programs that have one thread."""
        paths = [path + ".0", path + ".1"]
        if not all(map(os.path.exists, paths)):
            with open(path, "rb") as whole, open(paths[0], "wb") as first, open(paths[1], "wb") as second:
                left = os.path.getsize(path) // 2
                while left > 0:
                    left -= first.write(whole.read(min(left, 1 << 24)))
                first.write(whole.readline())
                shutil.copyfileobj(whole, second, 1 << 24)
        return paths


def warm(paths):
    for path in paths:
        with open(path, "rb") as f:
            while f.read(1 << 24):
                pass


def back(size):
    """Touches memory and frees it. A virtual machine may have lent its free pages to others: whoever needs them first then
    waits for each, ten times as long as the page's use takes, and which program that is would be a matter of turns. A process
    of its own does it, for the peak of a process's memory becomes that of its children."""
    pages = min(size, MOST_BACKED) // mmap.PAGESIZE + 1
    touch = f"import mmap; mmap.mmap(-1, {pages * mmap.PAGESIZE})[::{mmap.PAGESIZE}] = bytes({pages})"
    subprocess.run([sys.executable, "-c", touch], check=True)


def run(program, out):
    """Runs a program once: its wall seconds, CPU seconds and largest resident bytes, and what it says of its query."""
    log = str(out) + ".log"
    before = time.monotonic()
    with open(log, "wb") as stdout, open(log + ".err", "wb") as stderr:
        child = subprocess.Popen(program.command, stdout=stdout, stderr=stderr, env=os.environ | {"GOMAXPROCS": "2"} | program.env, cwd=out.parent)
        with watchdog(child):
            _, status, usage = os.wait4(child.pid, 0)
    wall = time.monotonic() - before
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        said = Path(log + ".err").read_text(errors="replace").strip().splitlines() or ["nothing said"]
        why = [line for line in said if "Error" in line or "Exception" in line] + said[-1:]
        raise RuntimeError(f"exit code {child.returncode}: {why[0][:200]}")
    one = {"seconds": wall, "wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "rss": usage.ru_maxrss * 1024}
    said = Path(log).read_text(errors="replace")
    if program.timed_inside:
        one["seconds"] = float(said.split("seconds")[-1])
    return one


@contextlib.contextmanager
def watchdog(child):
    timer = threading.Timer(TIMEOUT, child.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def clear(path):
    for old in glob.glob(str(path) + "*"):
        shutil.rmtree(old) if os.path.isdir(old) and not os.path.islink(old) else os.remove(old)


def measure(bench, job):
    """Runs the programs of a job in turns and compares what they wrote."""
    programs = [p for p in job.programs if not bench.only or p.name in bench.only or p.name == "millrace" or job.kind == "none"]
    warm(job.inputs)
    kept = {p.name: {"name": p.name, "version": p.version, "command": p.shown(), "alone": p.alone, "bytes": p.bytes or job.bytes,
                     "runs": [], "error": p.missing, "failed": 0, "spent": 0} for p in programs}
    prints = {}
    for turn in range(bench.repeats):
        for p in programs:
            row = kept[p.name]
            if p.missing or turn and row["spent"] > bench.budget:
                continue
            clear(p.out)
            begun = time.monotonic()
            try:
                row["runs"].append(run(p, p.out))
                row["spent"] += time.monotonic() - begun
                if len(row["runs"]) == 1 and job.kind != "none":
                    prints[p.name] = results.fingerprint(job.kind, p)
                    row["result"] = "equal" if results.same(prints[p.name], prints["millrace"]) else "differs"
            except Exception as e:  # a peer that fails is a line of the table, not the end of the measurement
                row["failed"] += 1
                row["spent"] += time.monotonic() - begun
                row["error"] = jobs.public(str(e) or repr(e))
                if p.name == "millrace":
                    raise
            clear(p.out)
            last = row["runs"][-1] if row["runs"] else {}
            print(f"{job.name:22} {p.name:13} {last.get('seconds', 0):9.3f} s  {row.get('result', '')} {row['error']}", flush=True)
    return {"job": job.name, "title": job.title, "bytes": job.bytes, "goals": job.goals, "date": time.strftime("%Y-%m-%d %H:%M"),
            "commit": commit(), "programs": list(kept.values()), "repeats": bench.repeats, "format": FORMAT, "small": job.small,
            "bounds": job.bounds}


def commit():
    said = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=TREE, capture_output=True, text=True)
    return said.stdout.strip() or "unknown"


def kept_result(path):
    """A job's result, {} if there is none."""
    result = json.loads(path.read_text()) if path.exists() else {}
    return result if result.get("format") == FORMAT else {}


def main(env):
    bench = Bench(env)
    store = bench.dir / f"results-{bench.size}"
    store.mkdir(exist_ok=True)
    wanted = (env.get("JOB") or "").split()
    unknown = set(wanted) - set(jobs.NAMES)
    if unknown:
        sys.exit(f"JOB={' '.join(sorted(unknown))}: no such job: use {' '.join(jobs.NAMES)}")
    for name in wanted or jobs.NAMES:
        path = store / f"{name}.json"
        if not wanted and kept_result(path).get("repeats") == bench.repeats:
            continue
        with jobs.prepared(bench, name) as job:
            result = measure(bench, job)
        half = path.with_suffix(".half")
        half.write_text(json.dumps(result, indent=1))
        half.rename(path)
    report = TREE / "docs" / "benchmarks.md" if env.get("REPORT") is None else env["REPORT"]
    if report:
        have = [kept_result(store / f"{name}.json") for name in jobs.NAMES]
        tables.write(Path(report), [result for result in have if result])
        print(f"wrote {report}")


if __name__ == "__main__":
    main(os.environ)
