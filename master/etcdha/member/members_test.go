package member

import (
	"context"
	"errors"
	"path/filepath"
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
func join(t *testing.T, m *Member, path string, p Peer) *Member {
	t.Helper()
	var peers []Peer
	eventually(t, "the members take another", func() (ok bool) {
		var err error
		peers, err = m.Add(t.Context(), p)
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
	run(t, first.PromoteLearners)
	if all, err := first.Status(t.Context()); err != nil || len(all) != 1 || all[0].Peer != peers[0] {
		t.Fatalf("after a start with an address: %+v, %v, want one member, %+v", all, err, peers[0])
	}
	if _, err := first.Add(t.Context(), peers[1]); err != nil { // its answer is lost
		t.Fatal(err)
	}
	second := join(t, first, path(1), peers[1])
	eventually(t, "the second member is promoted", func() bool { return voters(t, first) == 2 })
	third := join(t, second, path(2), peers[2])
	eventually(t, "the third member is promoted", func() bool { return voters(t, first) == 3 })
	if got, err := third.Client().Get(t.Context(), "/a"); err != nil || len(got.Kvs) != 1 {
		t.Errorf("what was written before, read from the third: %v %v", got, err)
	}
	stop(t, first)
	put(t, third, "/b")
}

// A member whose folder is lost comes back with an empty one: it takes its own place, is no second vote, and has all data. The
// folder that was lost, should it turn up again, is of no use.
func TestReplace(t *testing.T) {
	t.Parallel()
	root, peers := t.TempDir(), freePeers(t, 3)
	members := startAll(t, root, peers, fast(t))
	for _, m := range members[:2] {
		run(t, m.PromoteLearners)
	}
	put(t, members[0], "/a")
	lost := members[2].dir.path
	stop(t, members[2])
	back := join(t, members[0], filepath.Join(root, "new"), peers[2])
	eventually(t, "the new member is promoted", func() bool { return voters(t, members[0]) == 3 })
	all, err := back.Status(t.Context())
	if err != nil || len(all) != 3 {
		t.Errorf("members after the replacement: %+v %v", all, err)
	}
	if got, err := back.Client().Get(t.Context(), "/a"); err != nil || len(got.Kvs) != 1 {
		t.Errorf("what was written before, read from the new member: %v %v", got, err)
	}
	stop(t, back)
	o := fast(t)
	o.Name, o.Peers = peers[2].Name, peers
	d := openDir(t, lost)
	defer d.Close()
	if m, err := Start(t.Context(), d, o); !errors.Is(err, ErrRemoved) || !strings.Contains(err.Error(), lost) {
		if err == nil {
			m.Close()
		}
		t.Errorf("the folder that was lost: %v, want ErrRemoved with its name", err)
	}
}

// While no majority answers nobody joins and nobody is removed, and the error says so.
func TestNoMajority(t *testing.T) {
	t.Parallel()
	root, peers := t.TempDir(), freePeers(t, 3)
	members := startAll(t, root, peers, fast(t))
	stop(t, members[1])
	stop(t, members[2])
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := members[0].Add(ctx, Peer{"m4", "127.0.0.1:1"}); !errors.Is(err, ErrNoMajority) {
		t.Errorf("add: %v, want ErrNoMajority", err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := members[0].Remove(ctx, uint64(members[1].etcd.Server.MemberID())); !errors.Is(err, ErrNoMajority) {
		t.Errorf("remove: %v, want ErrNoMajority", err)
	}
}
