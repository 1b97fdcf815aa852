package member

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// take is a snapshot's bytes.
func take(t *testing.T, m *Member) []byte {
	t.Helper()
	s, err := m.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(s)
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	if int64(len(data)) != s.Size {
		t.Errorf("a snapshot of %d bytes has %d", s.Size, len(data))
	}
	return data
}

// build restores a snapshot to a folder.
func build(path string, data []byte, from Restored) error {
	r, err := Restore(path)
	if err != nil {
		return err
	}
	err = r.Build(func(w io.Writer) error { return second(w.Write(data)) })
	if err != nil {
		return errors.Join(err, r.Abort())
	}
	return r.Commit("cafe", from)
}

func second[A any](_ A, err error) error { return err }

// get is a key's value, or what was found.
func get(t *testing.T, m *Member, key string) string {
	t.Helper()
	got, err := m.Client().Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Kvs) != 1 {
		return fmt.Sprint(got.Kvs)
	}
	return string(got.Kvs[0].Value)
}

// A member that is started on a restored folder knows what was known when the snapshot was taken and nothing later, at a revision
// above all that there were; it is a cluster of its own each time, so that nobody of an earlier one is mistaken for one of it.
func TestRestore(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "data")
	m := start(t, path, fast(t))
	var last int64
	for i := range 100 {
		put, err := m.Client().Put(t.Context(), "/n", fmt.Sprint(i))
		if err != nil {
			t.Fatal(err)
		}
		last = put.Header.Revision
	}
	data := take(t, m)
	if _, err := m.Client().Put(t.Context(), "/later", "x"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(path, spoolName)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the copy is left in the data directory: %v", err)
	}
	clusters := map[uint64]bool{uint64(m.etcd.Server.Cluster().ID()): true}
	for i := range 2 {
		path, from := filepath.Join(t.TempDir(), "data"), Restored{Snapshot: "s3://b/s", Term: 7, Revision: last, Masters: []string{"a:1"}}
		if err := build(path, data, from); err != nil {
			t.Fatal(err)
		}
		for again := range 2 {
			r := start(t, path, fast(t))
			if id := r.dir.Identity(); id.Cluster != "cafe" || !reflect.DeepEqual(*id.Restored, from) || id.Master == m.dir.Identity().Master {
				t.Errorf("restored, it is %+v", id)
			}
			if n, later := get(t, r, "/n"), get(t, r, "/later"); n != "99" || later != "[]" {
				t.Errorf("restored, start %d: %s and %s", again, n, later)
			}
			put, err := r.Client().Put(t.Context(), "/n", "99")
			if err != nil || put.Header.Revision <= last+RevisionBump {
				t.Errorf("restored, it is at revision %v, %v", put, err)
			}
			clusters[uint64(r.etcd.Server.Cluster().ID())] = true
			stop(t, r)
		}
		if len(clusters) != i+2 {
			t.Errorf("%d etcd clusters after %d restorations", len(clusters), i+1)
		}
	}
}

// A snapshot that was cut off or changed anywhere is refused, and so is what is none; the folder is left as it was.
func TestDamagedSnapshot(t *testing.T) {
	t.Parallel()
	data := take(t, start(t, t.TempDir(), fast(t)))
	sealed := func(body []byte) []byte {
		sum := sha256.Sum256(body)
		return append(bytes.Clone(body), sum[:]...)
	}
	cases := map[string][]byte{
		"empty":              {},
		"a hash alone":       sealed(nil),
		"not whole pages":    sealed([]byte("text")),
		"no database":        sealed(bytes.Repeat([]byte("text"), 4096)),
		"half a database":    sealed(data[:4096]),
		"without its hash":   data[:len(data)-sha256.Size],
		"one byte more":      append(bytes.Clone(data), 0),
		"a page less":        append(bytes.Clone(data[:len(data)-4096-sha256.Size]), data[len(data)-sha256.Size:]...),
		"cut off at a sheet": data[:len(data)-512],
	}
	for _, i := range []int{0, len(data) / 2, len(data) - 1} {
		flipped := bytes.Clone(data)
		flipped[i] ^= 1
		cases[fmt.Sprintf("byte %d of %d changed", i, len(data))] = flipped
	}
	path := filepath.Join(t.TempDir(), "data")
	for name, c := range cases {
		if err := build(path, c, Restored{}); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v, want ErrDamaged", name, err)
		}
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("%s: the folder is there: %v", name, err)
		}
	}
	if err := build(path, data, Restored{}); err != nil {
		t.Errorf("the snapshot as it was: %v", err)
	}
	broken := errors.New("the line went dead")
	r, err := Restore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Build(func(io.Writer) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("a download that fails: %v", err)
	}
	if err := r.Abort(); err != nil {
		t.Error(err)
	}
}

// A folder with a state, or with anything else, is refused as it is; one that is used, too. What a master leaves that never had a
// state, and what a restoration left that was cut off, is no hindrance to a restoration; but no master starts on the latter.
func TestRestoreWhere(t *testing.T) {
	t.Parallel()
	m := start(t, t.TempDir(), fast(t))
	data := take(t, m)
	if err := build(m.dir.path, data, Restored{}); !errors.Is(err, ErrNotEmpty) || !strings.Contains(err.Error(), "etcd") {
		t.Errorf("to a folder with a state: %v", err)
	}
	foreign := t.TempDir()
	if err := os.WriteFile(filepath.Join(foreign, "letter"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := build(foreign, data, Restored{}); !errors.Is(err, ErrNotEmpty) || !strings.Contains(err.Error(), "letter") {
		t.Errorf("to a folder with something else: %v", err)
	}

	path := t.TempDir()
	d := openDir(t, path)
	before := d.Identity().Master
	if err := build(path, data, Restored{}); !errors.Is(err, ErrInUse) {
		t.Errorf("to a folder that is used: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := Restore(path)
	if err == nil {
		err = r.Build(func(w io.Writer) error { return second(w.Write(data)) })
	}
	if err := errors.Join(err, r.stage.Close(), r.lock.Close()); err != nil { // as a process does that is killed
		t.Fatal(err)
	}
	if d, err := OpenDir(path); !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), "restore again") {
		if err == nil {
			d.Close()
		}
		t.Errorf("started on half a restoration: %v", err)
	}
	if err := build(path, data, Restored{}); err != nil {
		t.Fatal(err)
	}
	again := start(t, path, fast(t))
	if now := again.dir.Identity().Master; now == before {
		t.Error("a folder that was restored is the master that it was before")
	}
	if _, err := os.Stat(filepath.Join(path, stageName)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("of the restoration something is left: %v", err)
	}
}

// A copy ends with its context, and leaves nothing.
func TestSnapshotEnds(t *testing.T) {
	t.Parallel()
	m := start(t, t.TempDir(), fast(t))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if s, err := m.Snapshot(ctx); !errors.Is(err, context.Canceled) {
		if err == nil {
			s.Close()
		}
		t.Errorf("with an ended context: %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(m.dir.path, "snapshot*")); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	take(t, m)
}
