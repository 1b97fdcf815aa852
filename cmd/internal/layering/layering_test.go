package layering

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"
)

// rules are all rules by name.
var rules = map[string]func(*tree) []string{
	"edges": checkEdges, "doors": checkDoors, "standard": checkStandard, "apart": checkApart, "sizes": checkSizes,
	"packages": checkPackages, "calls": checkCalls, "words": checkWords, "ratio": checkRatio,
}

// Proves that the tree keeps the rules of the house.
func TestTheHouse(t *testing.T) {
	t.Parallel()
	tree, err := load(os.DirFS("../../.."))
	if err != nil {
		t.Fatal(err)
	}
	if len(tree.files) < 20 {
		t.Fatalf("only %d Go files: this is not the tree", len(tree.files))
	}
	for name, check := range rules {
		t.Run(name, func(t *testing.T) {
			for _, line := range check(tree) {
				t.Error(line)
			}
		})
	}
}

// Proves that every rule finds what it is there for, says where, and lets pass what it should.
func TestRulesBite(t *testing.T) {
	t.Parallel()
	const m = `"github.com/millrace/millrace/`
	long := strings.Repeat("\n", 700)
	for _, c := range []struct {
		rule, path, src string
		want            string // "": passes
	}{
		{"edges", "worker/a.go", `package worker; import ` + m + `master"`, "worker/a.go imports master"},
		{"edges", "worker/a.go", `package worker; import ` + m + `master/sched"`, "imports master/sched"},
		{"edges", "worker/a.go", `package worker; import ` + m + `master/wire"`, ""},
		{"edges", "storage/a.go", `package storage; import ` + m + `jobs"`, "imports jobs"},
		{"edges", "storage/a_test.go", `package storage; import ` + m + `jobs/jobstest"`, "imports jobs/jobstest"},
		{"edges", "storage/a_test.go", `package storage; import ` + m + `storage/storagetest"`, ""},
		{"edges", "storage/a.go", `package storage; import ` + m + `storage/storagetest"`, "imports storage/storagetest"},
		{"edges", "millrace.go", `package millrace; import ` + m + `jobs/jobstest"`, "imports jobs/jobstest"},
		{"edges", "cmd/internal/demo/a.go", `package main; import ` + m + `storage/storagetest/servers"`, ""},
		{"edges", "cmd/internal/procs/a.go", `package procs; import ` + m + `storage/storagetest/servers"`, "imports storage/storagetest/servers"},
		{"edges", "jobs/new/a.go", `package new; import ` + m + `jobs"`, ""},
		{"edges", "jobs/new/a.go", `package new; import ` + m + `storage"`, "imports storage"},
		{"edges", "jobs/a.go", `package jobs; import ` + m + `cmd/internal/flags"`, "imports cmd/internal/flags"},
		{"edges", "master/a.go", `package master; import "github.com/millrace/millrace"`, "imports millrace"},
		{"edges", "master/web/a.go", `package web; import ` + m + `master"`, "imports master"},
		{"edges", "attic/a.go", `package attic`, "attic: no row"},
		{"doors", "storage/a.go", `package storage; import "github.com/minio/minio-go/v7"`, "only [storage/s3store] may"},
		{"doors", "storage/s3store/a.go", `package s3store; import "github.com/minio/minio-go/v7"`, ""},
		{"doors", "cmd/millrace/a.go", `package main; import "github.com/spf13/cobra"`, ""},
		{"doors", "worker/a.go", `package worker; import "github.com/spf13/pflag"`, "imports github.com/spf13/pflag"},
		{"doors", "worker/a.go", `package worker; import "golang.org/x/sync/errgroup"`, ""},
		{"doors", "jobs/a.go", `package jobs; import "golang.org/x/sync/errgroup"`, "imports golang.org/x/sync"},
		{"doors", "jobs/quantiles/a.go", `package quantiles; import "github.com/DataDog/sketches-go/ddsketch"`, ""},
		{"doors", "jobs/a.go", `package jobs; import "github.com/DataDog/sketches-go/ddsketch"`, "only [jobs/quantiles] may"},
		{"doors", "jobs/stats/a.go", `package stats; import "github.com/axiomhq/hyperloglog"`, "only [jobs/countdistinct] may"},
		{"doors", "master/sched/a.go", `package sched; import "golang.org/x/sync/errgroup"`, "imports golang.org/x/sync"},
		{"doors", "master/sched/a_test.go", `package sched; import "golang.org/x/sync/errgroup"`, ""},
		{"doors", "worker/a.go", `package worker; import "example.com/new"`, "no row for this module"},
		{"standard", "master/sched/a.go", `package sched; import "math/rand/v2"`, "imports math/rand/v2"},
		{"standard", "master/sched/a.go", `package sched; import "sync/atomic"`, "imports sync/atomic"},
		{"standard", "master/sched/a.go", `package sched; import "iter"`, ""},
		{"standard", "master/sched/a_test.go", `package sched; import "os"`, ""},
		{"standard", "storage/input/a.go", `package input; import "log/slog"`, "imports log/slog"},
		{"standard", "worker/a.go", `package worker; import "net/rpc"`, "only [master/wire] may"},
		{"standard", "master/web/a.go", `package web; import "net/http"`, ""},
		{"standard", "cmd/millrace/a.go", `package main; import "flag"`, "imports flag"},
		{"apart", "millrace.go", `package millrace; import "go.etcd.io/etcd/client/v3"`, "millrace links go.etcd.io"},
		{"apart", "worker/a_test.go", `package worker; import "go.etcd.io/etcd/client/v3"`, ""},
		{"sizes", "worker/a.go", "package worker\n" + long, "701 lines"},
		{"sizes", "worker/a_test.go", "package worker\n" + long, ""},
		{"sizes", "worker/a.go", "package worker\nfunc f() {" + long[:71] + "}", "f has 72 lines"},
		{"sizes", "worker/a.go", "package worker\nfunc f() {" + long[:69] + "}", ""},
		{"sizes", "worker/a.go", "package worker\ntype I interface{ A(); B(); C(); D(); E(); F() }", "I has 6 methods"},
		{"packages", "worker/a.go", "package worker", "no package comment"},
		{"packages", "worker/a.go", "// Package worker works.\npackage worker", ""},
		{"packages", "worker/a_test.go", "// Package worker works.\npackage worker_test", "no package comment"},
		{"packages", "worker/util/a.go", "// Package util is.\npackage util", "says nothing"},
		{"calls", "worker/a.go", "package worker\nfunc init() {}", "a.go:2: func init"},
		{"calls", "worker/a.go", "package worker\nfunc (t T) init() {}", ""},
		{"calls", "master/sched/a.go", "package sched\nfunc f() { time.Now() }", "is told the time"},
		{"calls", "master/sched/a.go", "package sched\nfunc f() { time.Duration(1).String() }", ""},
		{"calls", "worker/a_test.go", "package worker\nfunc f() { time.Sleep(1) }", "time.Sleep in a test"},
		{"calls", "worker/a_test.go", "package worker\nfunc f() { synctest.Test(t, func() { time.Sleep(1) }) }", ""},
		{"calls", "worker/a.go", "package worker\nfunc f() { time.Sleep(1) }", ""},
		{"calls", "worker/a_test.go", "package worker\nfunc f() { t.Skip(\"no\") }", "LEFT OUT"},
		{"calls", "worker/a_test.go", "package worker\nfunc f() { t.SkipNow() }", "LEFT OUT"},
		{"calls", "worker/a_test.go", "package worker\nfunc f() { t.Skip(\"LEFT OUT: \" + x + y) }", ""},
		{"words", "Makefile", "run:\n\t/Home/me/bin/x", "Makefile:2"},
		{"words", "a.md", "GET /api/v[0-9]+/users/7 of 25/users/8", ""},
		{"words", "a.md", "GET /api/v1/users/7 by /Users/me", "a.md:1"},
		{"words", "testdata/text/book.txt", "in /home/ of", ""},
		{"words", "x.bin", "\x00/home/", ""},
		{"ratio", "worker/a.go", "package worker" + long, "0 lines of tests for 700 of source"},
	} {
		tree, err := load(fstest.MapFS{c.path: {Data: []byte(c.src)}, ".git/x.go": {}, "a/testdata/x.go": {Data: []byte("broken")}})
		if err != nil {
			t.Fatalf("%s: %v", c.path, err)
		}
		got := strings.Join(rules[c.rule](tree), "\n")
		if (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s over %s %q:\n got %q\nwant %q", c.rule, c.path, c.src[:min(len(c.src), 90)], got, c.want)
		}
	}
}

// Proves that what a package links by way of others is found, with the way.
func TestApartFollowsTheWay(t *testing.T) {
	t.Parallel()
	const m = `"github.com/millrace/millrace/`
	tree, err := load(fstest.MapFS{
		"millrace.go":        {Data: []byte(`package millrace; import (` + m + `master"; ` + m + `jobs")`)},
		"master/a.go":        {Data: []byte(`package master; import (` + m + `jobs"; ` + m + `master/etcdha")`)},
		"master/etcdha/a.go": {Data: []byte(`package etcdha; import (` + m + `master"; "go.etcd.io/etcd/client/v3")`)},
	})
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(checkApart(tree), "\n")
	if want := "[millrace master master/etcdha go.etcd.io/etcd/client/v3]"; !strings.Contains(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Proves that the tables can be read: every row has a name of its own, and allows something.
func TestTables(t *testing.T) {
	t.Parallel()
	for name, table := range map[string]string{
		"edges": edges, "testEdges": testEdges, "doors": doors, "foreign": foreign, "only": only, "apart": apart,
	} {
		rows := parse(table)
		seen := map[string]bool{}
		for _, r := range rows {
			if seen[r.name] || r.name == "" || len(r.allowed) == 0 {
				t.Errorf("%s: row %q is empty or twice there", name, r.name)
			}
			seen[r.name] = true
		}
		if strings.Count(table, "<") != len(rows) {
			t.Errorf("%s: %d rows, %d signs", name, len(rows), strings.Count(table, "<"))
		}
	}
}

// Proves that a tree that cannot be read or parsed is an error, not a tree without faults.
func TestLoadFails(t *testing.T) {
	t.Parallel()
	if _, err := load(fstest.MapFS{"a.go": {Data: []byte("pack age")}}); err == nil {
		t.Error("a broken file: no error")
	}
	if _, err := load(os.DirFS("no/such/folder")); err == nil {
		t.Error("no folder: no error")
	}
}
