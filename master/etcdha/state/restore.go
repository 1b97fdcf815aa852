package state

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"github.com/millrace/millrace/master/etcdha"
	"github.com/millrace/millrace/master/etcdha/backup"
	"github.com/millrace/millrace/master/etcdha/member"
	"github.com/millrace/millrace/master/journal"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage"
)

// RestoreOptions say what is restored and where to. All but the last two are required.
type RestoreOptions struct {
	Store   *storage.Store
	URL     string // of a snapshot, or of what holds some: the newest
	DataDir string // a folder that is empty or not there
	Log     *slog.Logger
	// Progress is told how many bytes of the snapshot have been read, of how many.
	Progress func(done, total int64)
}

// write tells of the progress, while a snapshot is written to w.
func (o RestoreOptions) write(w io.Writer, total int64) io.Writer {
	if o.Progress == nil {
		return w
	}
	return &told{w: w, tell: func(done int64) { o.Progress(done, total) }}
}

// told tells how much was written.
type told struct {
	w    io.Writer
	done int64
	tell func(done int64)
}

// Write implements io.Writer.
func (t *told) Write(p []byte) (int, error) {
	n, err := t.w.Write(p)
	t.done += int64(n)
	t.tell(t.done)
	return n, err
}

// Restored is what a restored state is.
type Restored struct {
	Cluster string // its id
	backup.Snapshot
	Jobs   int            // that it knows, also ended ones
	Bucket *backup.Bucket // nil: the snapshot lay by itself, or the bucket belongs to another cluster by now
	// Older is nil, or a NewerError: the bucket tells of a later time, and the master must be started with that term.
	Older error
	// Alive is the address of a master of that cluster that answers, "" if none was found: no master may be started on what was
	// restored before that one is stopped.
	Alive   string
	id      wire.ClusterID
	masters []string // that had the state before
}

// restoreTick makes the member that reads the restored state for the first time ready at once; it is alone.
const restoreTick = 10 * time.Millisecond

// Restore makes a data directory from a snapshot. A master that is started on it is alone; with a list of masters, the others join
// it. What is restored was opened and read to the end before, so that a master can start on it.
func Restore(ctx context.Context, o RestoreOptions) (_ Restored, err error) {
	found, err := backup.Find(ctx, o.Store, o.URL)
	if err != nil {
		return Restored{}, err
	}
	if found.Snapshot == nil {
		return Restored{}, fmt.Errorf("%s has no snapshot of cluster %s", found.Bucket, found.Contents.Cluster)
	}
	m, err := member.Restore(o.DataDir)
	if err != nil {
		return Restored{}, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, m.Abort())
		}
	}()
	r := Restored{Snapshot: *found.Snapshot, Bucket: found.Bucket}
	fetch := func(w io.Writer) error { return found.Fetch(ctx, o.Store, o.write(w, r.Size)) }
	if err = m.Build(fetch); err == nil {
		err = r.open(ctx, m.Dir(), o.Log)
	}
	if err == nil && found.Bucket != nil && found.Contents.Cluster != r.Cluster {
		err = fmt.Errorf("it is of cluster %s, and lies where snapshots of %s do", r.Cluster, found.Contents.Cluster)
	}
	if err != nil {
		return r, fmt.Errorf("restore %s: %w%s", r.URL, err, instead(err, found))
	}
	r.Older = found.Contents.Older(r.Term, r.Revision)
	if found.Bucket != nil {
		if _, err := found.Bucket.Of(ctx, r.Cluster); errors.Is(err, backup.ErrForeign) {
			r.Bucket = nil
		}
		if last, err := found.Bucket.LastTerm(ctx, found.Contents); err == nil { // they are named for a check that is good to have
			r.masters = append(r.masters, last.Addresses()...)
		}
	}
	slices.Sort(r.masters)
	r.masters = slices.Compact(r.masters)
	err = m.Commit(r.Cluster, member.Restored{Snapshot: r.URL, Term: r.Term, Revision: r.Revision, Masters: r.masters})
	if err == nil {
		r.Alive = alive(ctx, r.id, r.masters, nil)
	}
	return r, err
}

// instead says what can be restored in the place of a snapshot that is damaged.
func instead(err error, found backup.Found) string {
	switch {
	case !errors.Is(err, member.ErrDamaged):
		return ""
	case found.Bucket == nil:
		return ": restore another one"
	}
	if older := found.Contents.Before(*found.Snapshot); older != nil {
		return ": the one before it is " + older.URL
	}
	return ": there is none before it; millrace master snapshots " + found.Bucket.String() + " lists all"
}

// open reads a restored state for the first time.
func (r *Restored) open(ctx context.Context, dir *member.Dir, log *slog.Logger) (err error) {
	m, err := member.Start(ctx, dir, member.Options{Tick: restoreTick, Log: log})
	if err != nil {
		return fmt.Errorf("what it has cannot be opened (if it was taken by a newer millrace, restore it with that one): %w", err)
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	s, err := etcdha.New(ctx, m.Client(), etcdha.Options{Existing: true, Log: log, Sole: true})
	if err != nil {
		return err
	}
	r.id = s.Cluster()
	r.Cluster = r.id.String()
	p, err := s.Position(ctx)
	if err != nil {
		return err
	}
	if r.Taken.IsZero() { // its name does not say
		r.Revision = p.Revision - member.RevisionBump
	}
	r.Term = p.Term
	if p.Leader != "" {
		r.masters = []string{p.Leader}
	}
	jobs := map[journal.JobID]bool{}
	err = s.Load(ctx, func(e journal.Entry) bool {
		jobs[e.Job] = true
		return true
	})
	r.Jobs = len(jobs)
	return err
}
