package etcdha

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/millrace/millrace/master/journal"
)

// operation is a write with what is there before and what must be there after it.
type operation struct {
	name          string
	before, after string // a job's log, as logOf tells it
	do            func(ctx context.Context, s *Store, term uint64, job journal.JobID) error
}

func records(texts ...string) (r [][]byte) {
	for _, text := range texts {
		r = append(r, []byte(text))
	}
	return r
}

// operations are all that change a job's log.
var operations = []operation{
	{"first entry", "", "0[x]", func(ctx context.Context, s *Store, term uint64, job journal.JobID) error {
		return s.Append(ctx, term, []journal.Entry{{Job: job, Records: records("x")}})
	}},
	{"next entry", "0[e]", "0[e] 1[x]", func(ctx context.Context, s *Store, term uint64, job journal.JobID) error {
		return s.Append(ctx, term, []journal.Entry{{Job: job, Seq: 1, Records: records("x")}, {Job: job + "b", Records: records("x")}})
	}},
	{"replace", "0[e] 1[e]", "0[x]", func(ctx context.Context, s *Store, term uint64, job journal.JobID) error {
		return s.Replace(ctx, term, job, records("x"))
	}},
	{"replace nothing", "", "0[x]", func(ctx context.Context, s *Store, term uint64, job journal.JobID) error {
		return s.Replace(ctx, term, job, records("x"))
	}},
	{"remove", "0[e] 1[e]", "", func(ctx context.Context, s *Store, term uint64, job journal.JobID) error {
		return s.Replace(ctx, term, job, nil)
	}},
	{"replace a long log", long, "0[x]", func(ctx context.Context, s *Store, term uint64, job journal.JobID) error {
		return s.Replace(ctx, term, job, records("x"))
	}},
	{"remove a long log", long, "", func(ctx context.Context, s *Store, term uint64, job journal.JobID) error {
		return s.Replace(ctx, term, job, nil)
	}},
}

// testBatch is how many keys a replacement removes at once in these tests.
const testBatch = 5

// long is a log of which one transaction removes a part only.
var long = func() string {
	var b strings.Builder
	for i := range 2*testBatch + 1 {
		fmt.Fprintf(&b, "%d[e] ", i)
	}
	return strings.TrimSpace(b.String())
}()

// fill gives a job a log.
func fill(t *testing.T, s *Store, job journal.JobID, log string) {
	t.Helper()
	var ops []clientv3.Op
	put := func() {
		if _, err := s.c.Txn(t.Context()).Then(ops...).Commit(); err != nil {
			t.Fatalf("fill: %v", err)
		}
		ops = nil
	}
	for i := range strings.Fields(log) {
		ops = append(ops, clientv3.OpPut(s.k.entry(job, uint64(i)), string(encodeEntry(uint64(i), nonce(), 0, records("e")))))
		if len(ops) == 128 {
			put()
		}
	}
	put()
}

// logOf is a job's log, "seq[record record]".
func logOf(t *testing.T, s *Store, job journal.JobID) string {
	t.Helper()
	var all []string
	l := &loading{s: s, limit: pageKeys, yield: func(e journal.Entry) bool {
		all = append(all, fmt.Sprintf("%d%s", e.Seq, e.Records))
		return true
	}}
	if err := l.yieldLog(t.Context(), joblog{job: job}); err != nil {
		t.Fatalf("read the log of %s: %v", job, err)
	}
	return strings.Join(all, " ")
}

// Proves that a write happens once, whichever of its requests fails before etcd has it, is answered into the void, or arrives
// when the next writes are long done, and whatever becomes of the tries to put that right.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	for name, what := range map[string][]fault{
		"unsent": {unsent}, "lost": {lost}, "late": {late},
		"late, late": {late, late}, "late, lost, unsent": {late, lost, unsent}, "lost, late": {lost, late},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, f, _ := openFaulty(t, Options{batch: testBatch})
			term := lead(t, s)
			for i, op := range operations {
				if len(what) > 1 && op.before == long {
					continue // its steps are the same ones
				}
				for n := 0; ; n++ {
					job := journal.JobID(fmt.Sprintf("%d-%d", i, n))
					fill(t, s, job, op.before)
					before, hits := nth(n, isWrite, what...)
					f.set(before, nil)
					err := op.do(t.Context(), s, term.N, job)
					f.set(nil, nil)
					if got := logOf(t, s, job); err != nil || got != op.after {
						t.Fatalf("%s, fault at write %d: %v, the log is %.99q", op.name, n, err, got)
					}
					// The log goes on before the late ones arrive.
					next := journal.Entry{Job: job, Records: records("n")}
					want := strings.TrimSpace(op.after + fmt.Sprintf(" %d[n]", len(strings.Fields(op.after))))
					next.Seq = uint64(len(strings.Fields(op.after)))
					write(t, s, term, next)
					f.arrive()
					if got := logOf(t, s, job); got != want {
						t.Fatalf("%s, fault at write %d: after the late ones the log is %.99q, want %q", op.name, n, got, want)
					}
					if hits() == 0 {
						break
					}
				}
			}
			if !term.Lasts() {
				t.Error("the term is over")
			}
			resign(t, term)
		})
	}
}

func resign(t *testing.T, term journal.Term) {
	t.Helper()
	if err := term.Resign(t.Context()); err != nil {
		t.Errorf("Resign: %v", err)
	}
}

// Proves that claims and releases are done once under the same faults: one that arrives late neither gives an output to
// a job that has released it, nor takes it from one that claimed it since.
func TestLostAnswersOfClaims(t *testing.T) {
	t.Parallel()
	s, f, _ := openFaulty(t, Options{})
	term := lead(t, s)
	claims := func(output string, job, want journal.JobID) {
		t.Helper()
		if got, err := s.Claim(t.Context(), term.N, output, job); err != nil || got != want {
			t.Errorf("%s: Claim for %s: %s, %v, want %s", output, job, got, err, want)
		}
	}
	for _, what := range []fault{unsent, lost, late} {
		for n := range 3 {
			output := fmt.Sprintf("s3://b/%d-%d", what, n)
			before, hits := nth(n, isWrite, what)
			f.set(before, nil)
			claims(output, "a", "a")
			if err := s.Release(t.Context(), term.N, output, "a"); err != nil {
				t.Errorf("Release: %v", err)
			}
			f.set(nil, nil)
			if hits() != 1 {
				t.Errorf("fault %d at write %d did not happen", what, n)
			}
			f.arrive()
			claims(output, "b", "b")
			f.arrive()
			claims(output, "a", "b")
		}
	}
	resign(t, term)
}

// Proves that a write of which it is not known whether it happened is never told as one that did not: neither when its context
// ends, nor when the term does. And that a late one does not happen after another write of the term.
func TestUnknownStaysUnknown(t *testing.T) {
	t.Parallel()
	for _, what := range []fault{unsent, lost, late} {
		s, f, c := openFaulty(t, Options{})
		term := lead(t, s)
		entry := []journal.Entry{{Job: "a", Records: records("x")}}

		// The connection is gone after the write, until the context ends.
		ctx, cancel := context.WithCancel(t.Context())
		before, _ := nth(0, isWrite, what)
		f.set(func(r string) fault {
			if r == "txn put term" {
				cancel()
				return unsent
			}
			return before(r)
		}, nil)
		err := s.Append(ctx, term.N, entry)
		if err == nil || errors.Is(err, journal.ErrFenced) || !strings.Contains(err.Error(), "not known") {
			t.Errorf("fault %d, the context ended: %v", what, err)
		}
		f.set(nil, nil)
		write(t, s, term, journal.Entry{Job: "b", Records: records("y")})
		held := logOf(t, s, "a")
		f.arrive()
		if got := logOf(t, s, "a"); got != held || (what == lost) != (got != "") {
			t.Errorf("fault %d: the log was %q, and is %q", what, held, got)
		}

		// The term is over after the write.
		before, _ = nth(0, isWrite, what)
		f.set(func(r string) fault {
			if r == "txn put term" {
				if _, err := c.Delete(t.Context(), s.k.leader()); err != nil {
					t.Error(err)
				}
			}
			return before(r)
		}, nil)
		entry = []journal.Entry{{Job: "c", Records: records("x")}}
		err = s.Append(t.Context(), term.N, entry)
		if err == nil || errors.Is(err, journal.ErrFenced) || !strings.Contains(err.Error(), "not known") {
			t.Errorf("fault %d, the term ended: %v", what, err)
		}
		f.set(nil, nil)
		<-term.Done
		held = logOf(t, s, "c")
		if n := f.arrive(); logOf(t, s, "c") != held || (what == late) != (n == 1) {
			t.Errorf("fault %d: a write of a term that is over happened", what)
		}
		if err := s.Append(t.Context(), term.N, entry); !errors.Is(err, journal.ErrFenced) {
			t.Errorf("a write after the term: %v", err)
		}
	}
}
