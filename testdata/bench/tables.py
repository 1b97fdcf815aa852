"""Writes the results into a Markdown file, between two marks; what people wrote around them stays."""

import os
import platform
import statistics
import subprocess

BEGIN, END = "<!-- measured: written by make bench-peers -->", "<!-- end of measured -->"


def write(path, jobs):
    text = path.read_text() if path.exists() else f"# Benchmarks\n\n{BEGIN}\n{END}\n"
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    path.write_text(f"{before}{BEGIN}\n{render(jobs)}{END}{after}")


def render(jobs):
    out = [f"Machine: {machine()}. Two threads each, inputs in the page cache, the median of up to {max_runs(jobs)} runs.\n"]
    out += ["## Goals and what was measured\n", "| job | millrace | beside | goal | measured | |", "|---|---:|---|---:|---:|---|"]
    for job in jobs:
        out += goal_rows(job)
    for job in jobs:
        out += ["", f"## {job['title']}\n", f"{job['bytes'] / 1e6:,.0f} MB, measured {job['date']} at {job['commit']}.\n"]
        out += ["| program | version | " + ("ms" if job["small"] else "MB/s") + " | CPU s | peak RSS, MiB | runs | millrace is | result |",
                "|---|---|---:|---:|---:|---:|---:|---|"]
        out += [program_row(job, p) for p in job["programs"]]
        out += ["", "<details><summary>commands</summary>\n", "```", *(p["command"] for p in job["programs"] if p["command"]), "```", "</details>"]
    return "\n".join(out) + "\n"


def goal_rows(job):
    ours = seconds(job["programs"][0])
    rate = f"{ours * 1000:.0f} ms" if job["small"] else f"{job['bytes'] / ours / 1e6:.0f} MB/s"
    rows = [bound_row(job, rate, what, most) for what, most in job["bounds"].items()]
    for p in job["programs"]:
        goal = job["goals"].get(p["name"])
        if goal is None:
            continue
        theirs = seconds(p)
        if theirs is None:
            rows.append(f"| {job['job']} | {rate} | {p['name']} | ≥ {abs(goal)} × | | {p['error'] or 'no run'} |")
            continue
        ratio = (theirs / p["bytes"]) / (ours / job["bytes"])
        if goal < 0:  # it is the other program's beside millrace
            ratio = 1 / ratio
        verdict = "met" if ratio >= abs(goal) else f"missed by {100 * (1 - ratio / abs(goal)):.1f} %"
        rows.append(f"| {job['job']} | {rate} | {p['name']} | ≥ {abs(goal)} × | {ratio:.2f} × | {verdict} |")
    return rows


def bound_row(job, rate, what, most):
    got = max(r["rss"] for r in job["programs"][0]["runs"]) if what == "rss" else median(job["programs"][0], what)
    verdict = "met" if got <= most else f"missed by {100 * (got / most - 1):.1f} %"
    name, unit, scale = {"rss": ("peak RSS", "MiB", 1 / (1 << 20)), "seconds": ("time", "ms", 1000)}[what]
    return f"| {job['job']} | {rate} | {name} | ≤ {most * scale:.0f} {unit} | {got * scale:.0f} {unit} | {verdict} |"


def program_row(job, p):
    took = seconds(p)
    if took is None:
        return f"| {p['name']} | {p['version']} | | | | 0 | | {p['error']} |"
    rate = f"{took * 1000:.0f}" if job["small"] else f"{p['bytes'] / took / 1e6:.0f}"
    own = f"{median(p, 'cpu'):.2f} | {median(p, 'rss') / (1 << 20):.0f}" if p["alone"] else "– | –"
    ours = seconds(job["programs"][0]) / job["bytes"]
    ratio = "" if p["name"] == "millrace" else f"{took / p['bytes'] / ours:.2f} ×"
    result = "" if p["name"] == "millrace" else p.get("result", "")
    if p["failed"]:
        result += f"; {p['failed']} more failed: {p['error']}"
    return f"| {p['name']} | {p['version']} | {rate} | {own} | {len(p['runs'])} | {ratio} | {result} |"


def seconds(p):
    return median(p, "seconds") if p["runs"] else None


def median(p, what):
    return statistics.median(r[what] for r in p["runs"])


def max_runs(jobs):
    return max((len(p["runs"]) for j in jobs for p in j["programs"]), default=0)


def machine():
    model = "unknown processor"
    try:
        with open("/proc/cpuinfo") as f:
            model = next(line.split(":")[1].strip() for line in f if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    go = subprocess.run(["go", "env", "GOVERSION"], capture_output=True, text=True).stdout.strip()
    return f"{os.cpu_count()} CPUs ({model}), {memory:.0f} GiB of memory, {platform.system()} {platform.release()}, {go}"
