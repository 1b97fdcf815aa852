package etcdha

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/millrace/millrace/master/journal"
)

// Proves that many who open a new cluster at once agree on its id, also when answers are lost, and that it stays.
func TestClusterID(t *testing.T) {
	t.Parallel()
	c, prefix := client(t)
	f := withFaults(c, prefix)
	before, _ := nth(0, is("txn put cluster"), lost, unsent, lost)
	f.set(before, nil)
	ids := make([][16]byte, 8)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			s, err := New(t.Context(), c, Options{Prefix: prefix})
			if err != nil {
				t.Errorf("New: %v", err)
				return
			}
			ids[i] = s.Cluster()
		})
	}
	wg.Wait()
	again := openOn(t, c, Options{Prefix: strings.TrimSuffix(prefix, "/")}).Cluster()
	for _, id := range ids {
		if id != again || id == ([16]byte{}) {
			t.Errorf("cluster %x, and %x", id, again)
		}
	}
}

// Proves that New refuses what it would not understand, by name.
func TestNewRefuses(t *testing.T) {
	t.Parallel()
	c, prefix := client(t)
	for name, x := range map[string]struct{ value, want string }{
		"newer":   {`{"format":2,"id":"00"}`, "written by a newer one"},
		"foreign": {`hello`, "choose a prefix"},
		"short":   {`{"format":1,"id":"00"}`, "choose a prefix"},
		"no id":   {`{"format":1}`, "choose a prefix"},
	} {
		p := prefix + name + "/"
		put(t, c, p+"cluster", x.value)
		if _, err := New(t.Context(), c, Options{Prefix: p}); err == nil || !strings.Contains(err.Error(), x.want) || !strings.Contains(err.Error(), p) {
			t.Errorf("%s: got %v, want an error with %q", name, err, x.want)
		}
	}
	for _, ttl := range []time.Duration{time.Millisecond, 1500 * time.Millisecond, -time.Second} {
		if _, err := New(t.Context(), c, Options{Prefix: prefix, TTL: ttl}); err == nil || !strings.Contains(err.Error(), "whole seconds") {
			t.Errorf("TTL %v: got %v", ttl, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := New(ctx, c, Options{Prefix: prefix}); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: %v", err)
	}
}

// Proves that clusters with different prefixes on one etcd never see each other, also when one's prefix begins with the other's.
func TestPrefixesApart(t *testing.T) {
	t.Parallel()
	c, prefix := client(t)
	a := openOn(t, c, Options{Prefix: prefix})
	b := openOn(t, c, Options{Prefix: prefix + "jobs"})
	if a.Cluster() == b.Cluster() {
		t.Error("one id")
	}
	ta, tb := lead(t, a), lead(t, b)
	write(t, a, ta, journal.Entry{Job: "j", Records: records("a")})
	depose(t, b)
	<-tb.Done
	tb = lead(t, b)
	write(t, b, tb, journal.Entry{Job: "j", Records: records("b")})
	if holder, err := a.Claim(t.Context(), ta.N, "out", "j"); err != nil || holder != "j" {
		t.Error(holder, err)
	}
	if holder, err := b.Claim(t.Context(), tb.N, "out", "k"); err != nil || holder != "k" {
		t.Error(holder, err)
	}
	if !ta.Lasts() || ta.N != 1 || tb.N != 2 || contents(t, b) != "j/0[b]" {
		t.Errorf("terms %d and %d, b holds %s", ta.N, tb.N, contents(t, b))
	}
	resign(t, ta)
	resign(t, tb)
}

// Proves that the term is raised on demand while nobody leads and then only, that the next term is higher, and that a lost answer
// to it does no harm.
func TestBumpTerm(t *testing.T) {
	t.Parallel()
	s, f, other := openFaulty(t, Options{})
	terms := func(want uint64) {
		t.Helper()
		if n, err := s.Terms(t.Context()); err != nil || n != want {
			t.Errorf("the term is %d, %v, want %d", n, err, want)
		}
	}
	bump := func(to uint64, want string) {
		t.Helper()
		if err := s.BumpTerm(t.Context(), to); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("BumpTerm to %d: %v, want %q", to, err, want)
		}
	}
	terms(0)
	bump(7, "")
	terms(7)
	bump(3, "")
	terms(7)
	for _, what := range []fault{unsent, lost, late} {
		before, _ := nth(0, is("txn put term"), what)
		f.set(before, nil)
		n, _ := s.Terms(t.Context())
		bump(n+1, "")
		f.arrive()
		terms(n + 1)
	}
	f.set(func(request string) fault { // somebody begins to lead after the look
		if request == "txn put term" {
			putLeader(t, other, s.k.leader(), time.Hour)
		}
		return pass
	}, nil)
	bump(15, "leads: stop all masters first")
	terms(10)
	f.set(nil, nil)
	depose(t, s)
	term := lead(t, s)
	if term.N != 11 {
		t.Errorf("term %d follows 10", term.N)
	}
	bump(5, "")
	bump(20, "leads: stop all masters first")
	if !term.Lasts() || term.Confirm(t.Context()) != nil {
		t.Error("the leader's term was ended")
	}
	resign(t, term)
	bump(MaxBump+1, "the highest is")
	put(t, s.c, s.k.term(), "what")
	if _, err := s.Terms(t.Context()); err == nil || !strings.Contains(err.Error(), s.k.term()) {
		t.Errorf("a term that is none: %v", err)
	}
}

// Proves that what only etcd's limits refuse is told with the job's name, and changes nothing.
func TestAppendLimits(t *testing.T) {
	t.Parallel()
	s := open(t, Options{})
	term := lead(t, s)
	many := make([]journal.Entry, maxEntries)
	for i := range many {
		many[i] = journal.Entry{Job: journal.JobID(fmt.Sprint("j", i)), Records: records("x")}
	}
	write(t, s, term, many...)
	for i := range many {
		many[i].Seq = 1
	}
	write(t, s, term, many...)
	for name, c := range map[string]struct {
		entries []journal.Entry
		want    string
	}{
		"long":  {[]journal.Entry{{Job: "big", Records: records(strings.Repeat("x", 2<<20))}}, "--max-request-bytes"},
		"many":  {append(many, journal.Entry{Job: "more"}), "the limit is 60"},
		"twice": {[]journal.Entry{{Job: "big"}, {Job: "big", Seq: 1}}, "two entries"},
		"gap":   {[]journal.Entry{{Job: "j1", Seq: 4}}, "job j1 entry 4"},
		"again": {[]journal.Entry{{Job: "j1", Seq: 1}}, "there is an entry 1 already"},
	} {
		err := s.Append(t.Context(), term.N, c.entries)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), string(c.entries[0].Job)) || errors.Is(err, journal.ErrFenced) {
			t.Errorf("%s: got %v, want an error with %q", name, err, c.want)
		}
	}
	if n := len(strings.Fields(contents(t, s))); n != 2*maxEntries || !term.Lasts() {
		t.Errorf("%d entries, want %d", n, 2*maxEntries)
	}
	resign(t, term)
}

// Proves that a claim's key which holds something else is an error that names both, and no claim.
func TestStrangeClaim(t *testing.T) {
	t.Parallel()
	s := open(t, Options{})
	term := lead(t, s)
	for _, value := range []string{"junk", `{"output":"s3://b/other","job":"a"}`} {
		put(t, s.c, s.k.claim("s3://b/out"), value)
		_, err := s.Claim(t.Context(), term.N, "s3://b/out", "a")
		releaseErr := s.Release(t.Context(), term.N, "s3://b/out", "a")
		for _, err := range []error{err, releaseErr} {
			if err == nil || !strings.Contains(err.Error(), "s3://b/out") || !strings.Contains(err.Error(), s.k.claim("s3://b/out")) {
				t.Errorf("%s: got %v", value, err)
			}
		}
	}
	resign(t, term)
}

// Proves that each trouble of etcd is told in words with its remedy, and stays what it is for errors.Is. Where etcd is inside of the
// masters, nobody is sent to it with etcdctl.
func TestExplain(t *testing.T) {
	t.Parallel()
	outside, err := Dial(External{Endpoints: []string{"127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer outside.Close()
	s, inside := &Store{c: outside, k: keys{"/m/"}}, &Store{c: clientv3.NewCtxClient(context.Background()), k: keys{"/m/"}}
	for err, want := range map[error]string{rpctypes.ErrNoSpace: "--data-quota", rpctypes.ErrCorrupt: "empty its data directory"} {
		if got := inside.explain(err); !errors.Is(got, err) || !strings.Contains(got.Error(), want) || strings.Contains(got.Error(), "etcdctl") {
			t.Errorf("inside of the masters, %v: got %v, want %q", err, got, want)
		}
	}
	for _, c := range []struct {
		err  error
		want string
	}{
		{rpctypes.ErrNoSpace, "etcdctl alarm disarm"},
		{rpctypes.ErrCorrupt, "replace that member"},
		{rpctypes.ErrPermissionDenied, "readwrite /m/"},
		{rpctypes.ErrUserEmpty, "client certificate"},
		{rpctypes.ErrRequestTooLarge, "1.5 MiB"},
		{rpctypes.ErrTooManyOps, "--max-txn-ops"},
		{rpctypes.ErrNoLeader, "more than half of its members"},
		{rpctypes.ErrTimeoutDueToLeaderFail, "more than half of its members"},
		{context.DeadlineExceeded, "did not answer in time"},
		{status.Error(codes.Unavailable, "connection refused"), "not reached"},
		{rpctypes.ErrLeaseNotFound, "lease has run out"},
		{rpctypes.ErrCompacted, "forgotten"},
	} {
		wrapped := fmt.Errorf("around: %w", c.err)
		if got := s.explain(wrapped); !errors.Is(got, c.err) || !strings.Contains(got.Error(), c.want) {
			t.Errorf("%v: got %v, want %q", c.err, got, c.want)
		}
	}
	if s.explain(nil) != nil {
		t.Error("nil became an error")
	}
	if plain := errors.New("plain"); s.explain(plain) != plain {
		t.Error("an error that is not etcd's was changed")
	}
}
