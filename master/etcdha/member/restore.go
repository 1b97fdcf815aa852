package member

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"go.etcd.io/etcd/etcdutl/v3/snapshot"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// stageName is where a data directory is built from a snapshot, in the folder that it will be.
const stageName = "restore.new"

// RevisionBump is what a restored state's revisions begin above those of its snapshot: nothing that somebody has seen of the state
// that was lost is seen again with another meaning.
const RevisionBump = 1_000_000_000

// What keeps a snapshot from being restored.
var (
	ErrNotEmpty = errors.New("it is not empty")
	ErrDamaged  = errors.New("the snapshot is damaged")
)

// Restored says from which snapshot a data directory was made.
type Restored struct {
	Snapshot string `json:"snapshot"` // its URL
	Term     uint64 `json:"term"`     // the last that it knows
	Revision int64  `json:"revision"` // of etcd, in the snapshot

	// Masters are the addresses of those that had the state before: none of them may run beside the one that has it now.
	Masters []string `json:"masters,omitempty"`
}

// Restoration is a data directory being made from a snapshot. Until Commit the folder is none that a master starts on.
//
//	path/lock           held meanwhile
//	path/restore.new/   a data directory that comes to be, and the snapshot
//
// A process that dies before Commit leaves a folder that masters refuse; one that dies in it, a folder on which the next master
// finishes what Commit has begun (settle.go). A restoration to either of them begins anew.
type Restoration struct {
	path  string
	lock  *os.File
	stage *Dir // nil: closed
	made  bool // the folder was not there before
}

// Restore begins to make a data directory in a folder that is not there, is empty, or is that of a master that never had a state.
// What an earlier restoration left that was cut off is removed. The caller ends it with Commit or Abort.
func Restore(path string) (*Restoration, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("data directory %s: %w", path, err)
	}
	r := &Restoration{path: path}
	if r.made, err = vacant(path); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w: choose another with --data-dir", err)
	}
	if r.lock, err = lock(filepath.Join(path, lockName)); err != nil {
		return nil, fmt.Errorf("data directory %s: %w", path, err)
	}
	if _, err := vacant(path); err != nil { // what was there before the lock was held may have changed
		return nil, errors.Join(err, r.lock.Close())
	}
	err = os.Chmod(path, 0o700)
	if err == nil {
		err = unsettle(path)
	}
	if err == nil {
		err = os.RemoveAll(r.at(stageName))
	}
	if err == nil {
		r.stage, err = OpenDir(r.at(stageName))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("data directory %s: %w", path, err), r.Abort())
	}
	return r, nil
}

// vacant says whether a folder is missing, and refuses one to which nothing may be restored.
func vacant(path string) (missing bool, err error) {
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("data directory: %w: choose another with --data-dir", err)
	}
	left, err := leftIn(path)
	if err != nil {
		return false, fmt.Errorf("data directory %s: %w", path, err)
	}
	id, _, err := peek(path)
	if err != nil {
		return false, fmt.Errorf("data directory %s: %w", path, err)
	}
	for _, e := range entries {
		switch name := e.Name(); {
		case slices.Contains([]string{lockName, stageName, spoolName, identityName, identityName + ".new"}, name): // all that a master leaves which was refused
		case name == etcdName && left == leftDecided: // moved there by a restoration that was cut off
		case name == etcdName && id.Restored != nil:
			return false, fmt.Errorf("data directory %s: %w, it was restored already, from %s: start the master on it; or to restore there again, move what is there away first",
				path, ErrNotEmpty, id.Restored.Snapshot)
		default:
			return false, fmt.Errorf("data directory %s: %w, it holds %s: a snapshot is restored to an empty folder: move what is there away, or choose another with --data-dir",
				path, ErrNotEmpty, name)
		}
	}
	if id.Cluster != "" && left != leftDecided {
		return false, fmt.Errorf("data directory %s: %w: it is of cluster %s, and holds no files of etcd: put them back (is a disk not mounted?), or empty the folder to restore a snapshot there",
			path, ErrLost, id.Cluster)
	}
	return false, nil
}

// at names something in the folder.
func (r *Restoration) at(names ...string) string {
	return filepath.Join(append([]string{r.path}, names...)...)
}

// Dir is the data directory that comes to be, once Build has returned.
func (r *Restoration) Dir() *Dir { return r.stage }

// Build makes the files of an etcd with one member, which is alone, from a snapshot that fetch writes.
func (r *Restoration) Build(fetch func(io.Writer) error) error {
	file := r.at(stageName, "snapshot")
	if err := save(file, fetch); err != nil {
		return err
	}
	if err := checkSum(file); err != nil {
		return err
	}
	if err := rebuild(file, r.at(stageName, etcdName)); err != nil {
		return err
	}
	return os.Remove(file)
}

// save writes a file.
func save(path string, fetch func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(fetch(f), f.Close())
}

// checkSum compares a snapshot with the hash at its end.
func checkSum(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	n := info.Size() - sha256.Size
	if n <= 0 || n%512 != 0 { // a database is whole pages
		return fmt.Errorf("%w: it has %d bytes, which is no snapshot's length: it was cut off, or is something else", ErrDamaged, info.Size())
	}
	sum := sha256.New()
	if _, err := io.CopyN(sum, f, n); err != nil {
		return err
	}
	var want [sha256.Size]byte
	if _, err := io.ReadFull(f, want[:]); err != nil {
		return err
	}
	if got := sum.Sum(nil); string(got) != string(want[:]) {
		return fmt.Errorf("%w: it was cut off or changed: its SHA-256 begins with %x, and at its end it says %x", ErrDamaged, got[:8], want[:8])
	}
	return nil
}

// rebuild makes etcd's folder from a snapshot. Its cluster is one that never was: whoever was a member of the lost one cannot be
// mistaken for one of this.
func rebuild(file, dir string) (err error) {
	defer func() { // a database that is none makes the library panic
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: etcd says: %v", ErrDamaged, p)
		}
	}()
	var token [16]byte
	_, _ = rand.Read(token[:]) // never fails
	m := snapshot.NewV3(zap.NewNop().WithOptions(zap.WithFatalHook(zapcore.WriteThenPanic)))
	if _, err := m.Status(file); err != nil {
		return fmt.Errorf("%w: etcd says: %w", ErrDamaged, err)
	}
	self := (&Member{}).peerURL()
	name := defaultName
	err = m.Restore(snapshot.RestoreConfig{
		SnapshotPath: file, OutputDataDir: dir, Name: name, PeerURLs: []string{self.String()}, InitialCluster: name + "=" + self.String(),
		InitialClusterToken: hex.EncodeToString(token[:]), RevisionBump: RevisionBump, MarkCompacted: true,
	})
	if err != nil {
		return fmt.Errorf("make etcd's files from the snapshot: %w", err)
	}
	return nil
}

// Commit makes the folder a data directory. Its Dir must not be in use any more.
func (r *Restoration) Commit(cluster string, from Restored) error {
	id := r.stage.Identity()
	id.Cluster, id.Restored = cluster, &from
	err := syncTree(r.stage.Path())
	if err == nil {
		err = r.stage.write(id) // from here on it is decided
	}
	if err == nil {
		err, r.stage = r.stage.Close(), nil
	}
	if err == nil {
		err = settle(r.path)
	}
	if err == nil && r.made {
		err = syncDir(filepath.Dir(r.path))
	}
	if err == nil {
		err = r.lock.Close()
	}
	if err != nil {
		return fmt.Errorf("data directory %s: %w", r.path, err)
	}
	return nil
}

// Abort leaves the folder as it was, also after a Commit that failed before the folder was a data directory.
func (r *Restoration) Abort() error {
	var errs []error
	if r.stage != nil {
		errs = append(errs, r.stage.Close())
	}
	left, err := leftIn(r.path)
	if err == nil && left != leftDone {
		err = unsettle(r.path)
	}
	if err != nil || left == leftDone { // the next that opens the folder finishes it
		return errors.Join(append(errs, err, r.lock.Close())...)
	}
	errs = append(errs, os.RemoveAll(r.at(stageName)), os.Remove(r.at(lockName)), r.lock.Close())
	if r.made {
		errs = append(errs, os.Remove(r.path))
	}
	return errors.Join(errs...)
}
