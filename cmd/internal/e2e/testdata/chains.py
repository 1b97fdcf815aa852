"""Compares the output of a chain with what a well-known library computes: chains.py JOB PARAMS OUTPUT INPUT.

PARAMS is JSON, INPUT the input file. It prints what was compared, or the first difference and exits 1.
"""

import json
import sys

import networkx
import numpy
import pyarrow.dataset
import sklearn.cluster

job, params, output, path = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3], sys.argv[4]
rows = pyarrow.dataset.dataset(output, format="arrow").to_table().to_pylist()


def pagerank():
    graph = networkx.read_edgelist(path, create_using=networkx.DiGraph, delimiter="\t")
    want = networkx.pagerank(graph, alpha=float(params["damping"]), tol=1e-15, max_iter=1000)
    assert [r["page"] for r in rows] == [r["page"] for r in sorted(rows, key=lambda r: (-r["rank"], r["page"].encode()))]
    assert {r["page"] for r in rows} == set(want), "other pages"
    off = max(abs(r["rank"] - want[r["page"]]) for r in rows)
    assert off < 1e-9, f"off by {off}"
    return f"{len(rows)} pages, {graph.number_of_edges()} links, off by {off:.1e} at most"


def kmeans():
    points = numpy.loadtxt(path, delimiter=",")
    start = numpy.array([[float(x) for x in c.split(",")] for c in params["centers"].split(";")])
    fit = sklearn.cluster.KMeans(n_clusters=len(start), init=start, n_init=1, algorithm="lloyd", tol=0, max_iter=1000).fit(points)
    if params.get("output") == "points":
        lines = open(path).read().split()
        want = sorted(zip(fit.labels_.tolist(), lines))
        assert sorted((r["cluster"], r["point"]) for r in rows) == want, "other clusters"
        return f"{len(rows)} points"
    assert [r["cluster"] for r in rows] == list(range(len(start)))
    assert [r["points"] for r in rows] == numpy.bincount(fit.labels_).tolist(), "other sizes"
    off = numpy.abs(numpy.array([r["center"] for r in rows]) - fit.cluster_centers_).max()
    assert off < 1e-9, f"off by {off}"
    return f"{len(points)} points, {len(start)} clusters after {fit.n_iter_} rounds, off by {off:.1e} at most"


try:
    print(globals()[job]())
except AssertionError as e:
    sys.exit(f"{job}: {e}")
