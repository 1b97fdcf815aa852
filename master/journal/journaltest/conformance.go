// Package journaltest is the conformance suite that every journal.Backend with its Election passes. It knows no
// implementation; the tests of memha and etcdha call Run.
package journaltest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"

	"github.com/millrace/millrace/master/journal"
)

// Store is an implementation under test: empty, and without a leader.
type Store struct {
	Backend  journal.Backend
	Election journal.Election
	Depose   func() // ends the current leader's term, as a network that fails it would
}

// Run runs the suite, each test on a store of its own.
func Run(t *testing.T, open func(*testing.T) Store) {
	for name, test := range map[string]func(*testing.T, Store){
		"records come back in order": recordsInOrder,
		"a write is whole":           writeIsWhole,
		"claims":                     claims,
		"replace":                    replace,
		"a leader resigns":           resigns,
		"a deposed leader is fenced": fenced,
		"candidates wait":            candidatesWait,
		"one of many leads":          oneOfManyLeads,
		"contexts end calls":         contexts,
		"load stops":                 loadStops,
		"a journal over it":          wholeJournal,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

// lead makes this test the leader.
func lead(t *testing.T, s Store) journal.Term {
	t.Helper()
	term, err := s.Election.Campaign(t.Context(), journal.Candidate{})
	if err != nil {
		t.Fatalf("Campaign: %v", err)
	}
	return term
}

func entry(job journal.JobID, seq uint64, records ...string) journal.Entry {
	e := journal.Entry{Job: job, Seq: seq}
	for _, r := range records {
		e.Records = append(e.Records, []byte(r))
	}
	return e
}

func put(t *testing.T, s Store, term journal.Term, entries ...journal.Entry) {
	t.Helper()
	if err := s.Backend.Append(t.Context(), term.N, entries); err != nil {
		t.Fatalf("Append %v: %v", entries, err)
	}
}

// want compares what is loaded, entry by entry, "job/seq[records]".
func want(t *testing.T, s Store, want ...string) {
	t.Helper()
	if got := loaded(t, s); len(got) != len(want) || (len(want) > 0 && !reflect.DeepEqual(got, want)) {
		t.Errorf("loaded\n got %v\nwant %v", got, want)
	}
}

// wantJobs is want in whatever order of jobs; each has one entry.
func wantJobs(t *testing.T, s Store, want ...string) {
	t.Helper()
	got := loaded(t, s)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("loaded\n got %v\nwant %v", got, want)
	}
}

func loaded(t *testing.T, s Store) []string {
	t.Helper()
	got := []string{}
	err := s.Backend.Load(t.Context(), func(e journal.Entry) bool {
		got = append(got, fmt.Sprintf("%s/%d%q", e.Job, e.Seq, e.Records))
		return true
	})
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	return got
}

// recordsInOrder: records come back as they were written, also empty ones, and also when the memory was used again.
func recordsInOrder(t *testing.T, s Store) {
	want(t, s)
	term := lead(t, s)
	e := entry("b", 0, "one", "", "\x00\xff")
	put(t, s, term, e)
	copy(e.Records[0], "xxx")
	put(t, s, term, entry("a", 0, "two"), entry("b", 1, "three"))
	for i := range uint64(12) { // beyond 9: the order is of numbers, not of their texts
		put(t, s, term, entry("c", i, fmt.Sprint(i)))
	}
	lines := []string{`b/0["one" "" "\x00\xff"]`, `b/1["three"]`, `a/0["two"]`}
	for i := range 12 {
		lines = append(lines, fmt.Sprintf(`c/%d["%d"]`, i, i))
	}
	want(t, s, lines...)
}

// writeIsWhole: a write with one entry out of turn changes nothing, whichever it is.
func writeIsWhole(t *testing.T, s Store) {
	term := lead(t, s)
	put(t, s, term, entry("a", 0, "x"))
	for _, bad := range [][]journal.Entry{
		{entry("b", 0, "y"), entry("a", 0, "again")},
		{entry("b", 0, "y"), entry("a", 2, "gap")},
		{entry("b", 1, "gap"), entry("a", 1, "y")},
	} {
		if err := s.Backend.Append(t.Context(), term.N, bad); err == nil || errors.Is(err, journal.ErrFenced) {
			t.Errorf("Append %v: got %v, want an error that is not ErrFenced", bad, err)
		}
	}
	want(t, s, `a/0["x"]`)
}

// claims: one job holds an output until it releases it; what others do about it changes nothing.
func claims(t *testing.T, s Store) {
	term := lead(t, s)
	claim := func(job, holder journal.JobID) {
		t.Helper()
		got, err := s.Backend.Claim(t.Context(), term.N, "s3://b/out", job)
		if err != nil || got != holder {
			t.Errorf("Claim for %s: got %s, %v, want %s", job, got, err, holder)
		}
	}
	release := func(job journal.JobID) {
		t.Helper()
		if err := s.Backend.Release(t.Context(), term.N, "s3://b/out", job); err != nil {
			t.Errorf("Release by %s: %v", job, err)
		}
	}
	release("a")
	claim("a", "a")
	claim("a", "a")
	claim("b", "a")
	release("b")
	claim("b", "a")
	if got, err := s.Backend.Claim(t.Context(), term.N, "s3://b/out2", "b"); err != nil || got != "b" {
		t.Errorf("another output: got %s, %v", got, err)
	}
	s.Depose()
	term = lead(t, s)
	claim("b", "a")
	release("a")
	claim("b", "b")
}

// replace: a job's entries give way to one, or to none; nobody else's do, and its numbers go on from there.
func replace(t *testing.T, s Store) {
	term := lead(t, s)
	do := func(records ...string) {
		t.Helper()
		if err := s.Backend.Replace(t.Context(), term.N, "a", entry("a", 0, records...).Records); err != nil {
			t.Errorf("Replace by %q: %v", records, err)
		}
	}
	put(t, s, term, entry("a", 0, "x"), entry("ab", 0, "y"))
	put(t, s, term, entry("a", 1, "x"))
	do("z", "")
	wantJobs(t, s, `a/0["z" ""]`, `ab/0["y"]`)
	put(t, s, term, entry("a", 1, "more"))
	do("again")
	wantJobs(t, s, `a/0["again"]`, `ab/0["y"]`)
	for range 2 {
		do()
		want(t, s, `ab/0["y"]`)
	}
	put(t, s, term, entry("a", 0, "anew"))
	want(t, s, `ab/0["y"]`, `a/0["anew"]`)
	do()
	do("first")
	want(t, s, `ab/0["y"]`, `a/0["first"]`)
}

// resigns: a leader that resigns is fenced, and the next one leads at once; before, its term lasts.
func resigns(t *testing.T, s Store) {
	first, err := s.Election.Campaign(t.Context(), journal.Candidate{Address: "here"})
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Confirm(t.Context()); err != nil || !first.Lasts() || s.Election.Leader() != "here" {
		t.Errorf("the leader: confirmed %v, lasts %v, %q leads", err, first.Lasts(), s.Election.Leader())
	}
	if err := first.Resign(t.Context()); err != nil {
		t.Errorf("Resign: %v", err)
	}
	<-first.Done
	second := lead(t, s)
	if err := first.Confirm(t.Context()); !errors.Is(err, journal.ErrFenced) || first.Lasts() {
		t.Errorf("after its end: confirmed %v, lasts %v", err, first.Lasts())
	}
	if err := second.Confirm(t.Context()); err != nil || !second.Lasts() || second.N <= first.N {
		t.Errorf("term %d after %d: confirmed %v, lasts %v", second.N, first.N, err, second.Lasts())
	}
}

// fenced: no write of an old, a future or an unknown term changes anything.
func fenced(t *testing.T, s Store) {
	if err := s.Backend.Append(t.Context(), 0, []journal.Entry{entry("a", 0, "x")}); !errors.Is(err, journal.ErrFenced) {
		t.Errorf("before any term: got %v, want ErrFenced", err)
	}
	old := lead(t, s)
	put(t, s, old, entry("a", 0, "x"))
	if _, err := s.Backend.Claim(t.Context(), old.N, "out", "a"); err != nil {
		t.Fatal(err)
	}
	refused := func(when string, n uint64) {
		t.Helper()
		_, claimErr := s.Backend.Claim(t.Context(), n, "out2", "a")
		for call, err := range map[string]error{
			"Append":  s.Backend.Append(t.Context(), n, []journal.Entry{entry("a", 1, "y")}),
			"Claim":   claimErr,
			"Release": s.Backend.Release(t.Context(), n, "out", "a"),
			"Replace": s.Backend.Replace(t.Context(), n, "a", nil),
		} {
			if !errors.Is(err, journal.ErrFenced) {
				t.Errorf("%s %s: got %v, want ErrFenced", call, when, err)
			}
		}
	}
	refused("in a future term", old.N+1)
	s.Depose()
	<-old.Done
	refused("after the term", old.N)
	now := lead(t, s)
	if now.N <= old.N {
		t.Errorf("term %d follows %d", now.N, old.N)
	}
	refused("in the next leader's term", old.N)
	want(t, s, `a/0["x"]`)
	if holder, err := s.Backend.Claim(t.Context(), now.N, "out", "b"); err != nil || holder != "a" {
		t.Errorf("the claim: got %s, %v, want a", holder, err)
	}
	put(t, s, now, entry("a", 1, "z"))
}

// candidatesWait: a second candidate leads when the first is deposed, not before, and gives up with its context.
func candidatesWait(t *testing.T, s Store) {
	first := lead(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	gaveUp := make(chan error, 1)
	go func() { _, err := s.Election.Campaign(ctx, journal.Candidate{}); gaveUp <- err }()
	cancel()
	if err := <-gaveUp; !errors.Is(err, context.Canceled) {
		t.Errorf("the candidate that gave up: got %v, want context.Canceled", err)
	}
	elected := make(chan journal.Term, 1)
	go func() { term, _ := s.Election.Campaign(t.Context(), journal.Candidate{}); elected <- term }()
	put(t, s, first, entry("a", 0, "x"))
	select {
	case <-first.Done:
		t.Error("a candidate ended the leader's term")
	case <-elected:
		t.Error("two lead")
	default:
	}
	s.Depose()
	if second := <-elected; second.N <= first.N {
		t.Errorf("term %d follows %d", second.N, first.N)
	}
}

// oneOfManyLeads: candidates lead one after another, each in a higher term, and only the last one writes.
func oneOfManyLeads(t *testing.T, s Store) {
	const candidates = 5
	terms := make(chan journal.Term)
	var wg sync.WaitGroup
	for range candidates {
		wg.Go(func() {
			term, err := s.Election.Campaign(t.Context(), journal.Candidate{})
			if err != nil {
				t.Errorf("Campaign: %v", err)
			}
			terms <- term
		})
	}
	last := journal.Term{}
	for i := range candidates {
		term := <-terms
		if term.N <= last.N {
			t.Errorf("term %d follows %d", term.N, last.N)
		}
		put(t, s, term, entry("a", uint64(i), "x"))
		if i > 0 {
			if err := s.Backend.Replace(t.Context(), last.N, "a", nil); !errors.Is(err, journal.ErrFenced) {
				t.Errorf("the leader before: got %v, want ErrFenced", err)
			}
		}
		last = term
		s.Depose()
	}
	wg.Wait()
}

// contexts: a call whose context has ended does nothing.
func contexts(t *testing.T, s Store) {
	term := lead(t, s)
	put(t, s, term, entry("a", 0, "x"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, claimErr := s.Backend.Claim(ctx, term.N, "out", "a")
	for call, err := range map[string]error{
		"Append":  s.Backend.Append(ctx, term.N, []journal.Entry{entry("a", 1, "y")}),
		"Load":    s.Backend.Load(ctx, func(journal.Entry) bool { return true }),
		"Claim":   claimErr,
		"Replace": s.Backend.Replace(ctx, term.N, "a", nil),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v, want context.Canceled", call, err)
		}
	}
	want(t, s, `a/0["x"]`)
}

// loadStops: Load ends when its callback says so.
func loadStops(t *testing.T, s Store) {
	term := lead(t, s)
	put(t, s, term, entry("a", 0, "x"), entry("b", 0, "y"))
	n := 0
	if err := s.Backend.Load(t.Context(), func(journal.Entry) bool { n++; return false }); err != nil || n != 1 {
		t.Errorf("got %d entries, %v, want 1", n, err)
	}
}

// wholeJournal: what many write at once through a Journal, over two terms, the next leader loads, each writer's in order.
func wholeJournal(t *testing.T, s Store) {
	const writers, appends = 8, 20
	for range 2 {
		j := journal.New(s.Backend, lead(t, s), journal.Options{})
		if _, err := j.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				for i := range appends {
					if err := j.Append(t.Context(), journal.JobID(fmt.Sprint(w%3)), [][]byte{{byte(w), byte(i)}, {byte(w), byte(i)}}); err != nil {
						t.Errorf("Append: %v", err)
					}
				}
			})
		}
		wg.Wait()
		s.Depose()
	}
	logs, err := journal.New(s.Backend, lead(t, s), journal.Options{}).Load(t.Context())
	if err != nil || len(logs) != 3 {
		t.Fatalf("got %d logs, %v, want 3", len(logs), err)
	}
	seen := map[byte]int{}
	for _, log := range logs {
		for _, r := range log.Records {
			if want := seen[r[0]] / 2 % appends; int(r[1]) != want {
				t.Fatalf("writer %d: got record %d, want %d", r[0], r[1], want)
			}
			seen[r[0]]++
		}
	}
	for w := range byte(writers) {
		if seen[w] != 2*2*appends {
			t.Errorf("writer %d: got %d records, want %d", w, seen[w], 2*2*appends)
		}
	}
}
