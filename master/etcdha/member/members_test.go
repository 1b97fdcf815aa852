package member

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// run runs what a member does beside its work until the test ends.
func run(t *testing.T, f func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// eventually waits for something that etcd tells nobody about.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	limit := time.After(20 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-limit:
			t.Fatalf("not within 20 s: %s", what)
		case <-tick.C:
		}
	}
}

// voters counts the members that count for a majority.
func voters(t *testing.T, m *Member) (n int) {
	t.Helper()
	all, err := m.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		if !s.Learner && s.Name != "" {
			n++
		}
	}
	return n
}

// join lets a new member with an empty folder join those that m is one of.
func join(t *testing.T, m *Member, path string, p Peer, list []Peer) *Member {
	t.Helper()
	var peers []Peer
	eventually(t, "the members take another", func() (ok bool) {
		var err error
		peers, err = m.Add(t.Context(), p, list)
		if err != nil && !errors.Is(err, ErrNoMajority) {
			t.Fatal(err)
		}
		return err == nil
	})
	o := fast(t)
	o.Name, o.Peers, o.Join = p.Name, peers, true
	return start(t, path, o)
}

// A member that was alone gets company: first it is told its address, then two others join and are promoted by themselves, with
// all that was written before. Asking twice to join is asking once. The one it began with may then go.
func TestFromOneToThree(t *testing.T) {
	t.Parallel()
	root, peers := t.TempDir(), freePeers(t, 3)
	path := func(i int) string { return filepath.Join(root, peers[i].Name) }
	alone := start(t, path(0), fast(t))
	put(t, alone, "/a")
	stop(t, alone)

	o := fast(t)
	o.Name, o.Peers = peers[0].Name, peers
	first := start(t, path(0), o)
	run(t, first.promoteLearners)
	if all, err := first.Status(t.Context()); err != nil || len(all) != 1 || all[0].Peer != peers[0] {
		t.Fatalf("after a start with an address: %+v, %v, want one member, %+v", all, err, peers[0])
	}
	if _, err := first.Add(t.Context(), peers[1], peers); err != nil { // its answer is lost
		t.Fatal(err)
	}
	if _, err := first.Add(t.Context(), peers[2], peers); !errors.Is(err, ErrJoining) || !strings.Contains(err.Error(), peers[1].Address) {
		t.Errorf("a third one while the second joins: %v, want ErrJoining with its address", err)
	}
	second := join(t, first, path(1), peers[1], peers)
	eventually(t, "the second member is promoted", func() bool { return voters(t, first) == 2 })
	third := join(t, second, path(2), peers[2], peers)
	eventually(t, "the third member is promoted", func() bool { return voters(t, first) == 3 })
	wantKey(t, third, "/a")
	stop(t, first)
	put(t, third, "/b")
}

// Whose place a member takes that joins: of the one at its address, or of the one that its list lacks, and only of one that is gone.
// Nobody is taken away for one who could not join then.
func TestReplaced(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	alive, gone := l.Addr().String(), freePeers(t, 4)
	a := Status{Peer: Peer{"a", alive}, ID: 1}
	b := Status{Peer: Peer{"b", gone[0].Address}, ID: 2}
	c := Status{Peer: Peer{"c", gone[1].Address}, ID: 3}
	learner := Status{Peer: Peer{"d", gone[2].Address}, ID: 4, Learner: true}
	e := Peer{"e", gone[3].Address}
	for _, x := range []struct {
		name string
		now  []Status
		p    Peer
		list []Peer
		want []Status
		err  error
	}{
		{"one more", []Status{a, b}, e, []Peer{a.Peer, b.Peer, e}, nil, nil},
		{"an emptied folder", []Status{a, b, c}, c.Peer, []Peer{a.Peer, b.Peer, c.Peer}, []Status{c}, nil},
		{"the address of one that runs", []Status{a, b, c}, a.Peer, []Peer{a.Peer, b.Peer, c.Peer}, nil, ErrStillRuns},
		{"another in place of one", []Status{a, b, c}, e, []Peer{a.Peer, b.Peer, e}, []Status{c}, nil},
		{"another in place of one that runs", []Status{a, b, c}, e, []Peer{e, b.Peer, c.Peer}, nil, ErrStillRuns},
		{"another in place of two", []Status{a, b, c}, e, []Peer{a.Peer, e}, nil, ErrTooMany},
		{"while one joins", []Status{a, b, c, learner}, c.Peer, []Peer{a.Peer, b.Peer, c.Peer, learner.Peer}, nil, ErrJoining},
		{"in place of one that was joining", []Status{a, b, learner}, e, []Peer{a.Peer, b.Peer, e}, []Status{learner}, nil},
	} {
		got, err := replaced(t.Context(), x.now, x.p, x.list)
		if !errors.Is(err, x.err) || !slices.Equal(got, x.want) {
			t.Errorf("%s: %v, %v, want %v, %v", x.name, got, err, x.want, x.err)
		}
	}
}

// Three members are one store. Two of them go on without the third, which catches up when it is back. One whose folder is lost
// is replaced by a new one at another address: that takes its place, is no second vote, and has all data; one that runs is not
// replaced. The folder that was lost, should it turn up again, is of no use. While no majority answers nobody joins or is removed, and the error says so.
func TestThree(t *testing.T) {
	t.Parallel()
	root, peers := t.TempDir(), freePeers(t, 3)
	members := startAll(t, root, peers, fast(t))
	stop(t, members[0])
	put(t, members[1], "/a")
	first := start(t, filepath.Join(root, peers[0].Name), options(t, peers, 0))
	wantKey(t, first, "/a")
	for _, m := range []*Member{first, members[1]} {
		run(t, m.promoteLearners)
	}

	lost := members[2].dir.path
	stop(t, members[2])
	moved := []Peer{peers[0], peers[1], freePeers(t, 1)[0]} // the new one has another address
	moved[2].Name = "m3-moved"
	if _, err := first.Add(t.Context(), moved[2], []Peer{moved[0], moved[2]}); !errors.Is(err, ErrStillRuns) || !strings.Contains(err.Error(), peers[1].Name) {
		t.Errorf("a list without a member that runs: %v, want ErrStillRuns with its name", err)
	}
	third := join(t, first, filepath.Join(root, "new"), moved[2], moved)
	eventually(t, "the new member is promoted", func() bool { return voters(t, first) == 3 })
	if all, err := third.Status(t.Context()); err != nil || len(all) != 3 {
		t.Errorf("members after the replacement: %+v %v", all, err)
	}
	wantKey(t, third, "/a")
	stop(t, third)
	d := openDir(t, lost)
	defer d.Close()
	if m, err := Start(t.Context(), d, options(t, peers, 2)); !errors.Is(err, ErrRemoved) || !strings.Contains(err.Error(), lost) {
		if err == nil {
			m.Close()
		}
		t.Errorf("the folder that was lost: %v, want ErrRemoved with its name", err)
	}

	stop(t, members[1])
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := first.Add(ctx, Peer{"m4", "127.0.0.1:1"}, peers); !errors.Is(err, ErrNoMajority) {
		t.Errorf("add: %v, want ErrNoMajority", err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	for _, x := range first.etcd.Server.Cluster().Members() {
		if x.Name != peers[1].Name {
			continue
		}
		if err := first.Remove(ctx, uint64(x.ID)); !errors.Is(err, ErrNoMajority) {
			t.Errorf("remove: %v, want ErrNoMajority", err)
		}
	}
}

// options are those of the i-th of peers, after its first start.
func options(t *testing.T, peers []Peer, i int) Options {
	o := fast(t)
	o.Name, o.Peers, o.Token = peers[i].Name, peers, "test"
	return o
}

func wantKey(t *testing.T, m *Member, key string) {
	t.Helper()
	if got, err := m.Client().Get(t.Context(), key); err != nil || len(got.Kvs) != 1 {
		t.Errorf("%s, read from %s: %v %v", key, m.o.Name, got, err)
	}
}
