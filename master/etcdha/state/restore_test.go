package state

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// edited is a snapshot in which etcd's own records were changed.
func edited(t *testing.T, data []byte, change func(*bolt.Tx) error) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "db")
	if err := os.WriteFile(file, data[:len(data)-sha256.Size], 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := bolt.Open(file, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(change), db.Close()); err != nil {
		t.Fatal(err)
	}
	body, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(body)
	return append(body, sum[:]...)
}

// Snapshots of this version's etcd and of older ones are restored; one of a newer is refused with what to do, and leaves nothing.
func TestRestoreVersions(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	o := v.keeps(fast(t, filepath.Join(t.TempDir(), "data")))
	s := startState(t, o, 0)
	s.note(s.lead(1), "job")
	from := v.snapshot(t, s)
	s.stop()
	body, _, err := v.st.Read(t.Context(), from.URL, 0, -1, "")
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	var data bytes.Buffer
	if _, err := data.ReadFrom(body); err != nil {
		t.Fatal(err)
	}
	for version, good := range map[string]bool{"": true, "3.6.0": true, "3.8.0": false, "4.0.0": false} { // "": as those before 3.6 are
		snapshot := edited(t, data.Bytes(), func(tx *bolt.Tx) error {
			meta := tx.Bucket([]byte("meta"))
			if version == "" {
				return meta.Delete([]byte("storageVersion"))
			}
			return meta.Put([]byte("storageVersion"), []byte(version))
		})
		url, dir := "mem://elsewhere/etcd-"+version, filepath.Join(t.TempDir(), "data")
		if err := v.st.Put(t.Context(), url, snapshot, false); err != nil {
			t.Fatal(err)
		}
		r, err := restore(t, v, url, dir)
		if good {
			if err != nil || r.Jobs != 1 {
				t.Errorf("of etcd %q: %+v, %v", version, r, err)
			}
			continue
		}
		wants(t, err, url, "version", "by a newer millrace")
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("of etcd %q: the data directory is there: %v", version, err)
		}
	}
}
