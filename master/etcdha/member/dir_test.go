package member

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A new folder gets an identity, which it keeps; an emptied one gets another. One that has lost only etcd's files is refused.
func TestDirIdentity(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "deep", "data")
	d := openDir(t, path)
	first := d.Identity()
	if len(first.Master) != 32 || first.Format != format || d.Initialized() {
		t.Errorf("a new folder: %+v, initialized %v", first, d.Initialized())
	}
	if err := d.SetCluster("c1"); err != nil {
		t.Fatal(err)
	}
	if err := d.SetCluster("c2"); err == nil || !strings.Contains(err.Error(), "c1") || !strings.Contains(err.Error(), "c2") {
		t.Errorf("another cluster: error %v, want one that names both", err)
	}
	d.Close()
	// Without etcd's files it would forget what it has agreed to with the others.
	if _, err := OpenDir(path); !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "c1") {
		t.Errorf("of a cluster, and etcd's files are gone: %v, want ErrLost with the folder and the cluster", err)
	}
	wal := filepath.Join(path, etcdName, "member", "wal")
	if err := errors.Join(os.MkdirAll(wal, 0o700), os.WriteFile(filepath.Join(wal, "0.wal"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	d = openDir(t, path)
	if got := d.Identity(); got.Master != first.Master || got.Cluster != "c1" {
		t.Errorf("opened again: %+v, want the master of %+v and cluster c1", got, first)
	}
	d.Close()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	d = openDir(t, path)
	if d.Identity().Master == first.Master {
		t.Error("an emptied folder is the same master as before")
	}
	d.Close()
}

// A folder is used by one process at a time, and is free when that one ends.
func TestDirLock(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	d := openDir(t, path)
	if _, err := OpenDir(path); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "--data-dir") {
		t.Errorf("a folder in use: %v, want ErrInUse with the folder and the remedy", err)
	}
	d.Close()
	openDir(t, path).Close()
}

// Foreign folders and those of another version are refused, and are as they were.
func TestDirRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, file, data, want string }{
		{"foreign", "thesis.tex", "x", "holds thesis.tex"},
		{"another format", identityName, `{"format":"millrace-master-9"}`, `says format "millrace-master-9"`},
		{"not JSON", identityName, "x", identityName},
		{"etcd alone", "etcd/member/wal/0.wal", "", "but no " + identityName},
	} {
		path := t.TempDir()
		file := filepath.Join(path, c.file)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(c.data), 0o600)); err != nil {
			t.Fatal(err)
		}
		_, err := OpenDir(path)
		if !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want ErrForeign with the folder and %q", c.name, err, c.want)
		}
		if got, err := os.ReadFile(file); err != nil || string(got) != c.data {
			t.Errorf("%s: the file has become %q, %v", c.name, got, err)
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenDir(file); err == nil || !strings.Contains(err.Error(), "--data-dir") {
		t.Errorf("a file in place of the folder: %v", err)
	}
}
