package state

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/millrace/millrace/master/journal"
	"github.com/millrace/millrace/master/wire"
)

// listen opens a port for a master.
func listen(t *testing.T) *net.TCPListener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.(*net.TCPListener)
}

// answer lets a state's master answer on a port, until stop is called.
func (l *lives) answer(port *net.TCPListener) (stop func()) {
	ctx, cancel := context.WithCancel(l.t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- wire.NewServer(struct{ wire.Service }{}, wire.ServerOptions{Cluster: l.Cluster()}).Serve(ctx, port)
	}()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			l.t.Error(err)
		}
	}
}

// While a master runs, no other starts on a copy of its state, whether it was restored from the bucket, from a snapshot alone, or
// copied as a folder; none of them began a term, so the one that runs goes on. When it has ended, each of them may take its place,
// also at the same address.
func TestRivals(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	o := v.keeps(fast(t, filepath.Join(t.TempDir(), "data")))
	s := startState(t, o, 0)
	port := listen(t)
	term, err := s.Campaign(t.Context(), journal.Candidate{Address: port.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	taken := v.snapshot(t, s)
	end := s.answer(port)

	body, _, err := v.st.Read(t.Context(), taken.URL, 0, -1, "")
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	buf, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.st.Put(t.Context(), "mem://elsewhere/copy", buf, false); err != nil {
		t.Fatal(err)
	}
	copies := map[string]Options{}
	for name, url := range map[string]string{"restored": v.String(), "from a copied snapshot": "mem://elsewhere/copy"} {
		c := fast(t, filepath.Join(t.TempDir(), "data"))
		r, err := restore(t, v, url, c.DataDir)
		if err != nil || r.Alive != port.Addr().String() {
			t.Errorf("%s: %+v, %v, want one that knows who is alive", name, r, err)
		}
		copies[name] = c
	}
	folder := v.keeps(fast(t, filepath.Join(t.TempDir(), "data")))
	if err := os.CopyFS(folder.DataDir, os.DirFS(o.DataDir)); err != nil {
		t.Fatal(err)
	}
	copies["a copied folder"] = folder
	for name, c := range copies {
		_, err := live(t, c, 7)
		wants(t, err, port.Addr().String(), s.cluster(), c.DataDir, "stop that one first")
		if !errors.Is(err, ErrStrangers) {
			t.Errorf("%s: %v, want ErrStrangers", name, err)
		}
	}
	if err := term.Confirm(t.Context()); err != nil {
		t.Errorf("the one that runs: %v", err)
	}
	end()
	s.stop()
	for name, c := range copies {
		c.Listener = port // closed by now, but its address is that of the one before
		l := startState(t, c, 0)
		if _, err := l.Campaign(t.Context(), journal.Candidate{Address: "next"}); err != nil {
			t.Errorf("%s, when the other has ended: %v", name, err)
		}
		l.stop()
	}
}

// Who is asked is everybody but oneself, and only a master of the same cluster counts.
func TestAlive(t *testing.T) {
	t.Parallel()
	s := startState(t, fast(t, filepath.Join(t.TempDir(), "data")), 0)
	port, mute := listen(t), listen(t)
	defer s.answer(port)()
	gone := listen(t)
	gone.Close()
	at, other := port.Addr().String(), s.Cluster()
	other[0] ^= 1
	for _, c := range []struct {
		cluster   wire.ClusterID
		addresses []string
		self      *net.TCPListener
		want      string
	}{
		{s.Cluster(), []string{gone.Addr().String(), "nonsense", at}, nil, at},
		{s.Cluster(), []string{at}, port, ""},
		{s.Cluster(), []string{mute.Addr().String(), at}, mute, at}, // itself listens, and answers nobody yet
		{other, []string{at}, nil, ""},
		{s.Cluster(), nil, nil, ""},
	} {
		if got := alive(t.Context(), c.cluster, c.addresses, c.self); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}
