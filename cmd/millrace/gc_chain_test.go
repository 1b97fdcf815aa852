package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage/leftovers"
)

// killChain begins a pagerank that would take very long, with its stages in out, and kills it by kill -9 when its second stage is done.
func killChain(t *testing.T, dir string) {
	t.Helper()
	var graph strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&graph, "%d %d\n", i%997, i*i%1009)
	}
	write(t, dir+"/graph.txt", graph.String())
	cmd, _ := call{args: []string{"run", "pagerank", "graph.txt", "-o", "out", "-p", "tolerance=0", "-p", "iterations=990", "-q"}, dir: dir}.command(t)
	must(t, cmd.Start())
	defer func() {
		must(t, cmd.Process.Kill())
		_ = cmd.Wait() // it was killed
	}()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(deadline); ; {
		done, err := filepath.Glob(dir + "/out/_stages/00[2-9]-*/_SUCCESS")
		must(t, err)
		if len(done) > 0 {
			return
		}
		select {
		case <-tick.C:
		case <-end:
			t.Fatal("the second stage does not end")
		}
	}
}

// TestGCAfterKilledChain proves that the stages of a chain which was killed are kept for a day, as they can be gone on from; that they
// are then listed as one thing, removed with their folders, and what else lies there is not; and that the chain can begin anew.
func TestGCAfterKilledChain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	killChain(t, dir)
	write(t, dir+"/out/_stages/notes.txt", "mine")
	young := cli(t, dir, 0, "gc", "out")
	if !strings.Contains(young.out, "younger than 24 h") || !strings.HasSuffix(young.out, "nothing to remove in "+dir+"/out/\n") {
		t.Errorf("young: %s", young.out)
	}
	dry := cli(t, dir, 0, "gc", "out", "--older-than", "0s", "--dry-run")
	stages := 0
	for line := range strings.Lines(dry.out) {
		if strings.HasPrefix(line, "chain's stages") && strings.Contains(line, dir+"/out/_stages/ ") {
			stages++
		}
	}
	if stages != 1 || !strings.Contains(dry.out, "would remove ") || len(names(t, dir+"/out/_stages")) < 2 {
		t.Errorf("dry: %s", dry.out)
	}
	cli(t, dir, 0, "gc", "out", "--older-than", "0s")
	if left := names(t, dir+"/out"); !slices.Equal(left, []string{"_stages"}) {
		t.Errorf("left: %q", left)
	}
	if left := names(t, dir+"/out/_stages"); !slices.Equal(left, []string{"notes.txt"}) {
		t.Errorf("left in _stages: %q", left)
	}
	must(t, os.Remove(dir+"/out/_stages/notes.txt"))
	cli(t, dir, 0, "run", "pagerank", "graph.txt", "-o", "out", "-p", "iterations=2", "-q")
}

// TestGCBesideLiveChain proves that gc leaves the stages of a running chain alone, whether its master is asked or its age tells, and
// the chain ends right; and that stages which --keep-stages kept stay, whatever their age.
func TestGCBesideLiveChain(t *testing.T) {
	t.Parallel()
	for name, make := range gcPlaces() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, g := make(t), newGate()
			p.put(t, "in.txt", strings.Repeat("the owl and the cat\n", 100))
			first := jobs.New("first", func(line string, emit func(string, int64)) error {
				for word := range strings.FieldsSeq(line) {
					emit(word, 1)
				}
				return nil
			}, func(word string, ns jobs.Values[int64], emit func(wordRow)) error {
				emit(wordRow{word, jobs.Total(ns)})
				return nil
			})
			last := jobs.New("last", func(r wordRow, emit func(string, int64)) error {
				emit(r.Word, r.N)
				return nil
			}, g.reduce, jobs.Table())
			chain := jobs.DefineChain("chain", []*jobs.Job{first, last}, func(c *jobs.Chain, _ struct{}) error {
				c.Finish(last, jobs.Stage{From: []*jobs.Done{c.Run(first, jobs.Stage{})}, Reducers: 2})
				return nil
			})
			addr, c, reg := p.engine(t, chain)
			o := millrace.Options{Inputs: []string{p.url + "/in.txt"}, Output: p.url + "/out", NoBackup: true, KeepStages: true}
			spec, err := o.Spec(reg, "chain")
			must(t, err)
			id := millrace.NewJobID()
			_, err = c.Submit(t.Context(), &wire.SubmitArgs{Job: id, Spec: spec})
			must(t, err)
			for range 2 {
				select {
				case <-g.arrived:
				case <-time.After(deadline):
					t.Fatal("the second stage does not begin")
				}
			}
			before := p.there(t)
			if r := p.gc(t); len(r.Items) != 0 || kinds(r.Kept)[leftovers.Stages] != 1 {
				t.Errorf("by age: %d to be removed, kept %v", len(r.Items), kinds(r.Kept))
			}
			r := p.gc(t, "--older-than", "0s", "--master", addr)
			if len(r.Items) != 0 || kinds(r.Kept)[leftovers.Stages] != 1 || r.Kept[0].Kept != "job "+string(id)+" is at work there" {
				t.Errorf("beside its master: %d removed, kept %v", len(r.Items), kinds(r.Kept))
			}
			if got := p.there(t); !slices.Equal(got, before) {
				t.Errorf("before %q\nafter %q", before, got)
			}
			close(g.open)
			_, err = millrace.Follow(t.Context(), c, id, false, nil)
			must(t, err)
			if r := p.gc(t, "--older-than", "0s"); len(r.Items) != 0 || kinds(r.Kept)[leftovers.Stages] != 1 || !strings.Contains(r.Kept[0].Kept, "--keep-stages") {
				t.Errorf("after its end: %d removed, kept %v", len(r.Items), kinds(r.Kept))
			}
			if r := (call{args: []string{"verify", p.url + "/out"}, env: p.env}).run(t); r.code != 0 {
				t.Errorf("verify: %s%s", r.out, r.errout)
			}
		})
	}
}
