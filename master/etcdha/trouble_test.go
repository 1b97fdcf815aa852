package etcdha

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"github.com/millrace/millrace/master/journal"
)

// Proves that a full database is told as such with its remedy, costs the leader its term and the journal nothing, and that
// after the remedy a candidate that waited leads.
func TestDatabaseFull(t *testing.T) {
	t.Parallel()
	e := ownMember(t, func(c *embed.Config) { c.QuotaBackendBytes = 256 << 10 })
	s := openOn(t, clientOf(t, e), Options{TTL: 2 * time.Second})
	term := lead(t, s)
	write(t, s, term, journal.Entry{Job: "a", Records: [][]byte{[]byte("x")}})

	var rev int64
	for full := false; !full; {
		put, err := s.c.Put(t.Context(), "/other/filler", strings.Repeat("x", 32<<10))
		if full = errors.Is(err, rpctypes.ErrNoSpace); !full {
			if err != nil {
				t.Fatal(err)
			}
			rev = put.Header.Revision
		}
	}
	err := s.Append(t.Context(), term.N, []journal.Entry{{Job: "a", Seq: 1, Records: [][]byte{[]byte("y")}}})
	if !errors.Is(err, rpctypes.ErrNoSpace) || errors.Is(err, journal.ErrFenced) || !strings.Contains(err.Error(), "--data-quota") {
		t.Errorf("Append to a full database: %v", err)
	}
	<-term.Done
	if err := term.Confirm(t.Context()); !errors.Is(err, journal.ErrFenced) || !strings.Contains(err.Error(), "database is full") {
		t.Errorf("the end of the term: %v", err)
	}

	next := campaign(t, s)
	if _, err := s.c.Compact(t.Context(), rev, clientv3.WithCompactPhysical()); err != nil {
		t.Fatal(err)
	}
	if err := e.Server.Backend().Defrag(); err != nil { // a client in the member's process has no Defragment
		t.Fatal(err)
	}
	if _, err := s.c.AlarmDisarm(t.Context(), &clientv3.AlarmMember{}); err != nil {
		t.Fatal(err)
	}
	term = <-next
	write(t, s, term, journal.Entry{Job: "a", Seq: 1, Records: [][]byte{[]byte("z")}})
	if got := contents(t, s); got != "a/0[x] a/1[z]" {
		t.Errorf("the journal holds %s", got)
	}
}

// Proves that a leader whose etcd is gone ends its term in time and says why, that a candidate waits for etcd to come back, and
// that the journal is what it was.
func TestEtcdAway(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "etcdha")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	member, err := startMember(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{"unix://" + filepath.Join(dir, "c")}, Logger: zap.NewNop(),
		DialOptions: []grpc.DialOption{grpc.WithChainUnaryInterceptor(failFast)}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	s := openOn(t, c, Options{TTL: 2 * time.Second})
	term := lead(t, s)
	write(t, s, term, journal.Entry{Job: "a", Records: records("x")})

	begun := time.Now()
	member.Close()
	<-term.Done
	if took := time.Since(begun); took > 4*time.Second || term.Lasts() {
		t.Errorf("over after %v, of a lease of 2 s", took)
	}
	if err := term.Confirm(t.Context()); !errors.Is(err, journal.ErrFenced) || !strings.Contains(err.Error(), "more than half of its members") {
		t.Errorf("the end of the term: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.Terms(ctx); err == nil || !strings.Contains(err.Error(), "more than half of its members") {
		t.Errorf("the term while etcd is away: %v", err)
	}
	next := campaign(t, s)
	if member, err = startMember(dir, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(member.Close)
	term = <-next
	if got := contents(t, s); term.N != 2 || got != "a/0[x]" {
		t.Errorf("in term %d the journal holds %s", term.N, got)
	}
	write(t, s, term, journal.Entry{Job: "a", Seq: 1, Records: records("y")})
	resign(t, term)
}
