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

// Proves that a log which a master was replacing when it died, at whichever request, is read whole, either as it was or as it
// was to be; that the next leader's Load leaves nothing of it behind; and that entries can be appended to what was read, also
// by who did not load.
func TestReplaceCrash(t *testing.T) {
	t.Parallel()
	for _, op := range operations[2:] {
		for _, loads := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, loads %v", op.name, loads), func(t *testing.T) {
				t.Parallel()
				s, f, other := openFaulty(t, Options{batch: testBatch})
				next := openOn(t, other, Options{Prefix: s.k.prefix, batch: testBatch})
				old, steps := 0, 0
				for n := 0; ; n++ {
					job := journal.JobID(fmt.Sprint("j", n))
					term := lead(t, s)
					fill(t, next, job, op.before)
					ctx, cancel := context.WithCancel(t.Context())
					asked := 0
					f.set(func(r string) fault {
						if isWrite(r) || strings.HasPrefix(r, "get") {
							if asked++; asked > n {
								cancel()
								return unsent
							}
						}
						return pass
					}, nil)
					err := op.do(ctx, s, term.N, job)
					cancel()
					f.set(nil, nil)
					depose(t, next)
					term = lead(t, next)
					if loads {
						contents(t, next)
						found, more, err := next.keysFrom(t.Context(), next.k.job(job), job)
						if log := logOf(t, next, job); err != nil || log == op.after && (more || len(found) != len(strings.Fields(log))) {
							t.Errorf("died at request %d: Load left %q, %v, %v for %.99q", n, found, more, err, log)
						}
					}
					got := logOf(t, next, job)
					switch got {
					case op.before:
						old++
					case op.after:
						steps++
					default:
						t.Errorf("died at request %d: the log is %.99q", n, got)
					}
					length := len(strings.Fields(got))
					write(t, next, term, journal.Entry{Job: job, Seq: uint64(length), Records: records("n")})
					if got, want := logOf(t, next, job), strings.TrimSpace(fmt.Sprintf("%s %d[n]", got, length)); got != want {
						t.Errorf("died at request %d: after an Append the log is %.99q, want %.99q", n, got, want)
					}
					resign(t, term)
					if err == nil {
						break
					}
				}
				if op.before == long && steps < 3 || old == 0 && op.before != "" {
					t.Errorf("%d deaths before and %d after the replacement was decided: the test misses its point", old, steps)
				}
			})
		}
	}
}

// Proves that an entry which its writer numbers by a log that a half done replacement voids is refused, and that the error is
// not a fence: the log would lose it.
func TestAppendAfterFailedReplace(t *testing.T) {
	t.Parallel()
	s, f, _ := openFaulty(t, Options{batch: testBatch})
	term := lead(t, s)
	fill(t, s, "a", long)
	ctx, cancel := context.WithCancel(t.Context())
	f.set(func(r string) fault {
		if strings.HasPrefix(r, "txn delete") {
			cancel()
			return unsent
		}
		return pass
	}, nil)
	if err := s.Replace(ctx, term.N, "a", records("x")); err == nil {
		t.Fatal("the replacement did not fail")
	}
	f.set(nil, nil)
	n := uint64(len(strings.Fields(long)))
	err := s.Append(t.Context(), term.N, []journal.Entry{{Job: "a", Seq: n, Records: records("y")}})
	if err == nil || errors.Is(err, journal.ErrFenced) || !strings.Contains(err.Error(), "not its job's next") {
		t.Errorf("Append of entry %d: %v", n, err)
	}
	if got := logOf(t, s, "a"); got != "0[x]" {
		t.Errorf("the log is %.99q", got)
	}
	resign(t, term)
}

// Proves that jobs come in the order of their first entries, those of one write in the order of that write, a replaced one
// where it was, and all entries of each, whether its log fits a page or not and is held or read again.
func TestLoadOrder(t *testing.T) {
	t.Parallel()
	const page, small = 4 << 10, 300
	s := open(t, Options{batch: testBatch, page: page})
	term := lead(t, s)
	big := strings.Repeat("b", page/4)
	write(t, s, term, journal.Entry{Job: "z", Records: records("1")}, journal.Entry{Job: "m", Records: records("2")}, journal.Entry{Job: "a/b", Records: records("3")})
	for i := range uint64(20) { // over what is held, and several pages
		write(t, s, term, journal.Entry{Job: "big", Seq: i, Records: records(big)})
	}
	fill(t, s, "long", long)
	for i := range small { // more than a page's, and more than is held
		fill(t, s, journal.JobID(fmt.Sprintf("s%04d", i)), "0[e]")
	}
	if err := s.Replace(t.Context(), term.N, "m", records("again")); err != nil {
		t.Fatal(err)
	}
	if err := s.Replace(t.Context(), term.N, "long", records("short")); err != nil {
		t.Fatal(err)
	}
	write(t, s, term, journal.Entry{Job: "b", Records: records("last")})
	got := strings.ReplaceAll(contents(t, s), big, "big")

	want := "z/0[1] m/0[again] a/b/0[3]"
	for i := range 20 {
		want += fmt.Sprintf(" big/%d[big]", i)
	}
	want += " long/0[short]"
	for i := range small {
		want += fmt.Sprintf(" s%04d/0[e]", i)
	}
	if want += " b/0[last]"; got != want {
		t.Errorf("loaded %.300q\nwant %.300q", got, want)
	}
	resign(t, term)
}

// Proves that Load's answer is the journal of one moment when etcd forgets that moment between two pages: it goes on if nothing
// has changed; begins again if something has and nothing was yielded; and fails, to be called again, if something was. This holds
// too when etcd has forgotten an earlier moment before, which makes Load ask more often: other tests on the same etcd do that.
func TestLoadCompacted(t *testing.T) {
	t.Parallel()
	const page = 2 << 10 // some 50 of the entries
	survey := func(asked, _ int, _ string) bool { return asked == 2 }
	firstPage := func(_, _ int, request string) bool { return request == "get jobs/a/" }
	laterPage := func(_, yielded int, _ string) bool { return yielded > 0 }
	for _, c := range []struct {
		name   string
		now    func(asked, yielded int, request string) bool // whether this is the Get before which etcd forgets
		change func(*testing.T, *Store, *clientv3.Client)    // what is written before that
		want   string                                        // of Load: the log, or "!" and the error
	}{
		{"survey, nothing changed", survey, nil, "same"},
		{"first page, nothing changed", firstPage, nil, "same"},
		{"later page, nothing changed", laterPage, nil, "same"},
		{"first page, entry added", firstPage, addEntry, "more"},
		{"later page, entry added", laterPage, addEntry, "!load it again"},
		{"later page, entry removed", laterPage, removeEntry, "!load it again"},
		{"later page, entry changed", laterPage, changeEntry, "!load it again"},
	} {
		for _, before := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, forgot before %v", c.name, before), func(t *testing.T) {
				t.Parallel()
				s, f, other := openFaulty(t, Options{page: page})
				fill(t, s, "a", strings.Repeat("e ", manyEntries))
				asked, n, seen, forgot := 0, 0, map[uint64]bool{}, false
				f.set(func(r string) fault {
					if !strings.HasPrefix(r, "get") {
						return pass
					}
					asked++
					if before && asked == 2 {
						forget(t, other)
					}
					if !forgot && c.now(asked, n, r) {
						forgot = true
						if c.change != nil {
							c.change(t, s, other)
						}
						forget(t, other)
					}
					return pass
				}, nil)
				err := s.Load(t.Context(), func(e journal.Entry) bool {
					n++
					seen[e.Seq] = true
					return true
				})
				if part, fails := strings.CutPrefix(c.want, "!"); fails {
					if err == nil || !strings.Contains(err.Error(), part) {
						t.Errorf("got %v, want an error with %q", err, part)
					}
				} else if want := manyEntries + map[string]int{"same": 0, "more": 1}[c.want]; err != nil || n != want || len(seen) != want {
					t.Errorf("%d entries, %d different, %v; want %d", n, len(seen), err, want)
				}
				if !forgot {
					t.Error("etcd did not forget: there were too few pages")
				}
			})
		}
	}
}

const manyEntries = 200

func addEntry(t *testing.T, s *Store, c *clientv3.Client) {
	n := uint64(manyEntries)
	put(t, c, s.k.entry("a", n), string(encodeEntry(n, nonce(), 0, records("new"))))
}

func changeEntry(t *testing.T, s *Store, c *clientv3.Client) {
	put(t, c, s.k.entry("a", 0), string(encodeEntry(0, nonce(), 0, records("new"))))
}

func removeEntry(t *testing.T, s *Store, c *clientv3.Client) {
	if _, err := c.Delete(t.Context(), s.k.entry("a", 0)); err != nil {
		t.Error(err)
	}
}

func put(t *testing.T, c *clientv3.Client, key, value string) {
	t.Helper()
	if _, err := c.Put(t.Context(), key, value); err != nil {
		t.Error(err)
	}
}

// forget makes etcd forget all revisions but the current one. Other tests may make it forget more.
func forget(t *testing.T, c *clientv3.Client) {
	t.Helper()
	var rev int64
	for range 2 {
		resp, err := c.Put(t.Context(), "/filler", "x")
		if err != nil {
			t.Error(err)
			return
		}
		rev = resp.Header.Revision
	}
	if _, err := c.Compact(t.Context(), rev); err != nil && !strings.Contains(err.Error(), "compacted") {
		t.Error(err)
	}
}

// Proves that what is damaged or strange in etcd is an error that names the key, and is never left out in silence.
func TestLoadDamaged(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ key, value, want string }{
		"value":   {"jobs/a/0000000000000001", "junk", "damaged"},
		"number":  {"jobs/a/0000000000000001", string(encodeEntry(2, nonce(), 0, nil)), "holds entry 2"},
		"key":     {"jobs/a/1", "x", "none of millrace's"},
		"swap":    {"jobs/a/!", "junk", "damaged"},
		"unknown": {"jobs/b", "x", "none of millrace's"},
	} {
		s := open(t, Options{})
		fill(t, s, "a", "e")
		put(t, s.c, s.k.prefix+c.key, c.value)
		err := s.Load(t.Context(), func(journal.Entry) bool { return true })
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.key) {
			t.Errorf("%s: got %v, want an error with %q and %q", name, err, c.want, c.key)
		}
	}
}
