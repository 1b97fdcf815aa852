"""The jobs, and for each the programs that do it and the goals of millrace beside them."""

import contextlib
import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

import servers

REGEX = '"(GET|POST) /api/v[0-9]+/users/[0-9]+ .* 5[0-9][0-9] '
LITERAL = "/wp-login.php"
ENGINES = {"duckdb": ("DuckDB", "duckdb"), "clickhouse": ("ClickHouse: chDB", "chdb"), "polars": ("Polars", "polars"), "spark": ("Spark", "pyspark")}
SCRIPTS = Path(__file__).resolve().parent
MIB = 1 << 20


def public(text):
    """A text without secrets, and without the folders of this machine."""
    text = re.sub(r"(key|secret|Signature|Credential)=[^ &']+", r"\1=…", text)
    return re.sub(r"(?:/[\w.@~%+-]+)+/([\w.@~%+-]+)", r"\1", text)


@dataclass
class Program:
    name: str
    command: list  # run in the folder of out
    out: Path  # where it writes: a file, or a folder
    version: str = ""
    env: dict = field(default_factory=dict)
    timed_inside: bool = False  # it prints the seconds that count
    arrow: bool = False  # it writes millrace's parts
    bytes: int = 0  # of its input, if that is another one than the job's
    alone: bool = True  # what it takes is its own process's, and so can be measured
    missing: str = ""  # why it cannot run

    def shown(self):
        """The command, for people: without the folders of this machine, and without what a URL is signed with."""
        words = [Path(w).name if Path(w).is_absolute() and Path(w).parent.is_dir() and Path(w).parent != Path("/") else str(w)
                 for w in self.command]
        text = re.sub(r"\?X-Amz-[^ ']*", "?…", shlex.join(words))
        return re.sub(r"(key|secret)=[^ &']+", r"\1=…", text)


@dataclass
class Job:
    name: str
    title: str
    kind: str  # of the result: see results.py
    inputs: list
    bytes: int
    programs: list
    goals: dict  # a program's name -> how many times as fast millrace has to be
    small: bool = False  # its time counts, not its rate
    bounds: dict = field(default_factory=dict)  # goals for millrace alone: "seconds", "rss" -> at most


class Programs(list):
    """The programs of a job, one by one."""

    def __init__(self, bench, name):
        super().__init__()
        self.bench, self.name = bench, name

    def out(self, program):
        return self.bench.out / f"{self.name}-{program}"

    def millrace(self, job, source, *flags, env=None, name="millrace", size=0):
        out = self.out(name)
        command = [self.bench.millrace, "run", job, source, "-o", out, "--overwrite", "--quiet", *flags]
        self.append(Program(name, command, out, said(self.bench.millrace, "version"), env or {}, arrow=True, bytes=size))

    def byhand(self, job, source, *options, name="byhand"):
        out = self.out(name)
        self.append(Program(name, [self.bench.byhand, job, source, out, *options], out, said("go", "env", "GOVERSION")))

    def engines(self, names, job, source, inside=True, **options):
        for engine in names.split():
            title, package = ENGINES[engine]
            out = self.out(engine)
            extra = [f"{k}={v}" for k, v in options.items()]
            command = [self.bench.python, SCRIPTS / "engines.py", engine, job, source, out, *extra]
            missing = "Java is not installed" if engine == "spark" and not shutil.which("java") else ""
            env = {"POLARS_MAX_THREADS": "2"}
            self.append(Program(engine, command, out, f"{title} {engine_version(package)}", env, inside, alone=engine != "spark", missing=missing))

    def shell(self, name, tool, script, **env):
        """A pipeline of the tools that a machine has. $out is where it writes."""
        out = self.out(name)
        missing = "" if shutil.which(tool, path=f"{self.bench.scripts}:/usr/bin:/bin:/usr/local/bin") else f"{tool} is not installed"
        env = {"LC_ALL": "C", "out": str(out), "PATH": f"{self.bench.scripts}:/usr/bin:/bin:/usr/local/bin"} | env
        self.append(Program(name, ["sh", "-c", script], out, tool_version(tool, env["PATH"]), env, missing=missing))


def said(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def engine_version(package):
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "?"


def tool_version(tool, path):
    found = shutil.which(tool, path=path)
    if not found:
        return ""
    flag = ["-W", "version"] if "mawk" in str(Path(found).resolve()) else ["--version"]
    try:
        first = subprocess.run([found, *flag], capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout.splitlines()
    except OSError:
        return tool
    return first[0].split("(rev")[0].strip() if first else tool


AWK_WORDS = r"""awk -F '[^A-Za-z]+' '{for (i = 1; i <= NF; i++) if ($i != "") n[$i]++} END {for (w in n) print w "," n[w]}' "$in" > "$out" """
AWK_STATS = r"""awk -F ';' '{n[$1]++; s[$1] += $2; if (!($1 in a) || $2 < a[$1]) a[$1] = $2; if (!($1 in b) || $2 > b[$1]) b[$1] = $2}
END {for (k in n) printf "%s;%.1f;%.4f;%.1f\n", k, a[k], s[k] / n[k], b[k]}' "$in" > "$out" """


def wordcount(bench, p):
    text = bench.make("text", bench.size)
    p.millrace("wordcount", text)
    p.byhand("wordcount", text)
    p.engines("clickhouse duckdb polars spark", "wordcount", text)
    p.shell("awk", "awk", AWK_WORDS, **{"in": text})
    p.shell("coreutils", "sort", """tr -cs A-Za-z '\\n' < "$in" | sort --parallel=2 -S 4G | uniq -c | awk '$2 != "" {print $2 "," $1}' > "$out" """,
            **{"in": text})
    p.append(Program("bigslice", [], p.out("bigslice"), missing="not measured: the Go module proxy does not serve github.com/grailbio/bigslice"))
    return Job(p.name, "Word count, English prose", "wordcount", [text], bench.size, p,
               {"byhand": 0.65, "clickhouse": 1.8, "duckdb": 7, "polars": 7, "spark": 8, "bigslice": 25})


def stats(bench, p):
    rows = bench.make("measurements", bench.size * 7 // 5)
    p.millrace("stats", rows, "-p", "decimals=1")
    p.byhand("stats", rows)
    p.engines("clickhouse duckdb polars spark", "stats", rows)
    p.shell("awk", "awk", AWK_STATS, **{"in": rows})
    return Job(p.name, "Group statistics, rows of station;value", "stats", [rows], Path(rows).stat().st_size, p,
               {"byhand": 0.65, "clickhouse": 2.5, "duckdb": 2.5, "polars": 2.5})


def sort(bench, p):
    records = bench.make("records", bench.size)
    p.millrace("sort", records)
    p.byhand("sort", records)
    p.engines("clickhouse duckdb polars spark", "sort", records)
    p.shell("coreutils", "sort", 'sort --parallel=2 -S 4G "$in" > "$out"', **{"in": records})
    return Job(p.name, "Sort of 100-byte records, enough memory", "sort", [records], bench.size, p, {"byhand": 0.6, "clickhouse": 1.4})


def sort_small_memory(bench, p):
    size = 4 * bench.size
    records = bench.make("records", size)
    p.millrace("sort", records, "--memory", "256MiB")
    p.engines("duckdb clickhouse", "sort", records, memory=256 * MIB)
    p.shell("coreutils", "sort", 'sort --parallel=2 -S 256M -T "$(dirname "$out")" "$in" > "$out"', **{"in": records})
    return Job(p.name, "Sort of four times as much with 256 MiB", "sort", [records], size, p, {"coreutils": 1.5, "duckdb": 1.2},
               bounds={"rss": 320 * MIB})


def grep(bench, p, literal):
    log = bench.make("access-log", bench.size)
    halves = dict(zip(("first", "second"), bench.halves(log)))
    pattern, job = (LITERAL, "grep-literal") if literal else (REGEX, "grep")
    p.millrace("grep", log, "-p", "pattern=" + (re.escape(LITERAL).replace("\\-", "-") if literal else REGEX))
    p.byhand(job, log, pattern)
    p.engines("clickhouse duckdb polars spark", job, log, pattern=pattern)
    flag = "-F" if literal else "-E"
    p.shell("grep", "grep", f"""grep {flag} -e "$pattern" "$first" > "$out" & grep {flag} -e "$pattern" "$second" > "$out.2"; wait; cat "$out.2" >> "$out" """,
            pattern=pattern, **halves)
    p.shell("ripgrep", "rg", f"""rg -j 2 --no-config --no-filename --no-line-number {'-F' if literal else ''} -e "$pattern" "$first" "$second" > "$out" """,
            pattern=pattern, **halves)
    goals = {"clickhouse": 1, "duckdb": 1} | ({} if literal else {"ripgrep": 0.5})
    return Job(p.name, f"grep of an access log, {'literal' if literal else 'regular expression'} `{pattern}`", "grep", [log, *halves.values()],
               Path(log).stat().st_size, p, goals)


def distinct(bench, p):
    size, memory = 2 * bench.size, 4096 * MIB  # with 1 GiB, DuckDB and ClickHouse give up
    numbers = bench.make("numbers", size)
    p.millrace("distinct", numbers, "--memory", "4GiB")
    p.engines("duckdb clickhouse", "distinct", numbers, memory=memory)
    p.shell("coreutils", "sort", 'sort -u --parallel=2 -S 4G -T "$(dirname "$out")" "$in" > "$out"', **{"in": numbers})
    return Job(p.name, "Distinct lines of random 64-bit numbers, 4 GiB of memory", "distinct", [numbers], Path(numbers).stat().st_size, p,
               {"coreutils": 4, "duckdb": 1})


def small(bench, p):
    text = bench.make("text", bench.size // 1000)
    p.millrace("wordcount", text)
    p.byhand("wordcount", text)
    p.engines("clickhouse duckdb polars", "wordcount", text, inside=False)
    p.shell("duckdb-cli", "duckdb", f"""duckdb :memory: "COPY (SELECT word, count(*) FROM (SELECT unnest(string_split_regex(line, '[^A-Za-z]+')) AS word
FROM read_csv('$in', columns={{'line': 'VARCHAR'}}, delim=e'\\\\x01', quote='', escape='', header=false, auto_detect=false))
WHERE word <> '' GROUP BY word) TO '$out' (FORMAT csv, HEADER false)" """, **{"in": text})
    p.shell("awk", "awk", AWK_WORDS, **{"in": text})
    return Job(p.name, "A small job: word count of 1 MB, the whole process", "wordcount", [text], bench.size // 1000, p, {}, small=True,
               bounds={"seconds": 0.04})


def scale(bench, p):
    """The cost of a byte at a tenth and at twenty times the size: of as many names of one file, which the page cache holds."""
    text, tenth = bench.make("text", bench.size), bench.make("text", bench.size // 10)
    folder = bench.data / "twenty"
    folder.mkdir(exist_ok=True)
    for i in range(20):
        if not (folder / f"{i:02}").exists():
            os.link(text, folder / f"{i:02}")
    p.millrace("wordcount", text)
    p.millrace("wordcount", tenth, name="a tenth", size=bench.size // 10)
    p.millrace("wordcount", folder, name="twenty times", size=20 * bench.size)
    return Job(p.name, "Word count of a tenth of the text, and of twenty times as much", "none", [text, tenth], bench.size, p,
               {"a tenth": -0.9, "twenty times": -0.9})


def tiny_files(bench, p):
    count = bench.size // 10_000
    folder = bench.data / "tiny"
    if not (bench.data / "tiny.made").exists():
        for i in range(count):
            path = folder / f"{i // 1000:03}" / f"{i % 1000:03}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"file {i} has a few words\n")
        (bench.data / "tiny.made").touch()
    p.millrace("wordcount", folder)
    p.shell("awk", "awk", """find "$in" -type f | xargs cat | awk -F '[^A-Za-z]+' '{for (i = 1; i <= NF; i++) if ($i != "") n[$i]++}
END {for (w in n) print w "," n[w]}' > "$out" """, **{"in": str(folder)})
    return Job(p.name, f"Word count of {count:,} files of some 25 bytes", "wordcount", [], 25 * count, p, {}, small=True,
               bounds={"seconds": count / 20_000})


@contextlib.contextmanager
def from_s3(bench, p, job, kind, size, flags, goals):
    """Input on a MinIO server of this machine, output on the local disk."""
    with servers.minio(bench) as server:
        bucket = server.upload(kind, size)
        p.millrace(job, bucket, *flags, env=server.env())
        p.byhand(job, server.presigned(kind), name="fetch-byhand")
        p.engines("clickhouse", job, server.url(kind), key=server.key, secret=server.secret)
        title = f"{job} from MinIO on the same machine"
        yield Job(p.name, title[0].upper() + title[1:], job, [], server.size(kind), p, goals)


@contextlib.contextmanager
def cluster(bench, p, workers, slots):
    text = bench.make("text", bench.size)
    with servers.cluster(bench, workers, slots) as address:
        p.millrace("wordcount", text)
        out = p.out("cluster")
        command = [bench.millrace, "submit", "wordcount", text, "-o", out, "--overwrite", "--wait", "--quiet", "--master", address]
        p.append(Program("cluster", command, out, said(bench.millrace, "version"), arrow=True, alone=False))
        title = f"Word count on a cluster of {workers} worker{'s' * (workers > 1)} of {slots} slot{'s' * (slots > 1)}, beside run"
        yield Job(p.name, title, "wordcount", [text], bench.size, p, {"cluster": -0.9})


ALL = {
    "wordcount": wordcount,
    "stats": stats,
    "sort": sort,
    "sort-256m": sort_small_memory,
    "grep-literal": lambda b, p: grep(b, p, True),
    "grep-regex": lambda b, p: grep(b, p, False),
    "distinct": distinct,
    "small": small,
    "scale": scale,
    "tiny-files": tiny_files,
    "s3-wordcount": lambda b, p: from_s3(b, p, "wordcount", "text", b.size, [], {"clickhouse": 2, "fetch-byhand": 1}),
    "s3-stats": lambda b, p: from_s3(b, p, "stats", "measurements", b.size * 7 // 5, ["-p", "decimals=1"], {"clickhouse": 2, "fetch-byhand": 1}),
    "s3-sort": lambda b, p: from_s3(b, p, "sort", "records", b.size, [], {"clickhouse": 1.3}),
    "cluster-1x2": lambda b, p: cluster(b, p, 1, 2),
    "cluster-2x1": lambda b, p: cluster(b, p, 2, 1),
}
NAMES = list(ALL)


@contextlib.contextmanager
def prepared(bench, name):
    """The job of a name, with its data made and its servers running."""
    made = ALL[name](bench, Programs(bench, name))
    if isinstance(made, Job):
        yield made
        return
    with made as job:
        yield job
