package member

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

// format is the version of the data directory's layout.
const format = "millrace-master-1"

// Names in a data directory.
const (
	identityName = "millrace.json"
	lockName     = "lock"
	etcdName     = "etcd"
)

// What keeps a data directory from being used.
var (
	ErrInUse   = errors.New("another process uses this data directory")
	ErrForeign = errors.New("this is not a data directory of a millrace master")
	ErrLost    = errors.New("what the cluster knows is gone from this data directory")
)

// Identity is what a data directory says of itself.
type Identity struct {
	Format  string `json:"format"`
	Master  string `json:"master"`            // 128 random bits in hex: a folder that is emptied becomes another master
	Cluster string `json:"cluster,omitempty"` // the cluster's id in hex, once it is known

	// Founders are the masters that this one has decided to found a cluster with. Invariant: once there, they stay.
	Founders []Founder `json:"founders,omitempty"`

	Restored *Restored `json:"restored,omitempty"` // what the folder was made from; nil: it began empty

	// Doubt is how far the state had come when whether it was the newest was asked the last time, and not told: what it has done since
	// says nothing about that. nil: it was the newest.
	Doubt *Standing `json:"doubt,omitempty"`
}

// Standing is how far a state has come: its last term, and etcd's revision.
type Standing struct {
	Term     uint64 `json:"term"`
	Revision int64  `json:"revision"`
}

// Founder is one of the masters that found a cluster.
type Founder struct {
	Address string `json:"address"`
	Master  string `json:"master"` // its Identity.Master
}

// Dir is a data directory, held by this process.
type Dir struct {
	path string
	lock *os.File

	mu sync.Mutex
	id Identity
}

// OpenDir makes or opens a data directory and locks it. It fails with ErrInUse, ErrForeign or ErrLost.
func OpenDir(path string) (*Dir, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("data directory %s: %w", path, err)
	}
	if err := claimable(path); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w: choose another with --data-dir", err)
	}
	if err := os.Chmod(path, 0o700); err != nil { // etcd's files hold all that the cluster knows
		return nil, fmt.Errorf("data directory: %w: choose another with --data-dir", err)
	}
	d := &Dir{path: path}
	if d.lock, err = lock(filepath.Join(path, lockName)); err != nil {
		return nil, fmt.Errorf("data directory %s: %w", path, err)
	}
	if err = d.recover(); err == nil {
		err = d.readIdentity()
	}
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// claimable refuses a folder that holds other things, before anything is put there.
func claimable(path string) error {
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("data directory: %w: choose another with --data-dir", err)
	}
	for _, e := range entries {
		switch e.Name() {
		case identityName, lockName, etcdName, identityName + ".new", spoolName, stageName:
		default:
			return fmt.Errorf("%w: %s holds %s: give an empty folder, or one that does not exist, with --data-dir", ErrForeign, path, e.Name())
		}
	}
	return nil
}

// lock takes the lock of a data directory. The kernel releases it when the process ends, however it does.
func lock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = fmt.Errorf("%w: a master, or a restore, is running on it: stop that one, or choose another with --data-dir", ErrInUse)
	}
	if err == nil {
		err = current(f)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// current refuses a lock whose file was removed between opening and locking it, as a restoration does that fails: another process may
// hold the one that is there now.
func current(f *os.File) error {
	held, err := f.Stat()
	if err != nil {
		return err
	}
	there, err := os.Stat(f.Name())
	if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(held, there) {
		return fmt.Errorf("%w: it ended just now: try again", ErrInUse)
	}
	return err
}

// readIdentity reads the folder's identity, or gives it one.
func (d *Dir) readIdentity() error {
	file := filepath.Join(d.path, identityName)
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		if d.Initialized() {
			return fmt.Errorf("%w: %s holds etcd's files, but no %s: restore that file, or begin with an empty folder", ErrForeign, d.path, identityName)
		}
		var id [16]byte
		_, _ = rand.Read(id[:]) // never fails
		return d.write(Identity{Format: format, Master: hex.EncodeToString(id[:])})
	}
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	if err := json.Unmarshal(data, &d.id); err != nil {
		return fmt.Errorf("%w: %s: %w: bring that file back, or begin with an empty folder", ErrForeign, file, err)
	}
	if d.id.Format != format {
		return fmt.Errorf("%w: %s says format %q, this program knows %q: use the version of millrace that wrote it", ErrForeign, file, d.id.Format, format)
	}
	// With empty files it would be the same member in etcd's eyes, which has forgotten what it has agreed to: decisions that a
	// majority with it had made could be made otherwise. One with an empty folder joins as another member.
	if d.id.Cluster != "" && !d.Initialized() {
		return fmt.Errorf("%w: %s is of cluster %s, and holds no files of etcd in %s: put them back (is a disk not mounted?), or begin with an empty folder",
			ErrLost, d.path, d.id.Cluster, filepath.Join(etcdName, "member"))
	}
	return nil
}

// write puts the identity on disk, whole or not at all.
func (d *Dir) write(id Identity) error {
	data, err := json.MarshalIndent(id, "", "  ")
	if err != nil {
		return err
	}
	file := filepath.Join(d.path, identityName)
	if err := writeFile(file+".new", append(data, '\n')); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	if err := syncDir(d.path); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.id = id
	return nil
}

func writeFile(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Path is the folder's absolute path.
func (d *Dir) Path() string { return d.path }

// Identity is what the folder says of itself.
func (d *Dir) Identity() Identity {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.id
}

// Initialized says whether etcd has written here: such a folder is a member already.
func (d *Dir) Initialized() bool {
	entries, err := os.ReadDir(filepath.Join(d.path, etcdName, "member", "wal"))
	return err == nil && len(entries) > 0
}

// SetCluster notes which cluster the folder belongs to, and refuses another than before.
func (d *Dir) SetCluster(cluster string) error {
	id := d.Identity()
	if id.Cluster == cluster {
		return nil
	}
	if id.Cluster != "" {
		return fmt.Errorf("data directory %s: it is of cluster %s, but its etcd says %s: the folder's files do not belong together", d.path, id.Cluster, cluster)
	}
	id.Cluster = cluster
	return d.write(id)
}

// SetFounders notes with whom this master founds a cluster. That is decided once.
func (d *Dir) SetFounders(founders []Founder) error {
	id := d.Identity()
	if id.Founders != nil {
		return fmt.Errorf("data directory %s: the founders of its cluster are decided already", d.path)
	}
	id.Founders = founders
	return d.write(id)
}

// SetDoubt notes whether it is in doubt that the state is the newest.
func (d *Dir) SetDoubt(doubt *Standing) error {
	id := d.Identity()
	if doubt == nil && id.Doubt == nil {
		return nil
	}
	id.Doubt = doubt
	return d.write(id)
}

// Close releases the folder.
func (d *Dir) Close() error { return d.lock.Close() }
