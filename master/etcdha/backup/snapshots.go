package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/storage"
)

// Snapshot is one that lies in a bucket.
type Snapshot struct {
	URL      string
	Cluster  string
	Term     uint64    // the last that it knows
	Revision int64     // of etcd, when it was taken
	Taken    time.Time // by the clock of the master that took it, whole seconds
	Size     int64     // bytes
}

const (
	snapshotPrefix = "snapshot-"
	termPrefix     = "term-"
	timeFormat     = "20060102T150405Z"
)

// name is its object's name.
func (s Snapshot) name() string {
	return fmt.Sprintf("%s%012d-%012d-%s", snapshotPrefix, s.Term, s.Revision, s.Taken.UTC().Format(timeFormat))
}

// Compare orders snapshots of one cluster, the older first.
func (s Snapshot) Compare(o Snapshot) int {
	return cmp.Or(cmp.Compare(s.Term, o.Term), cmp.Compare(s.Revision, o.Revision), s.Taken.Compare(o.Taken))
}

// IsSnapshot says whether a URL has the name of a snapshot, and what the name says.
func IsSnapshot(url string) (Snapshot, bool) {
	s, ok := parseName(storage.Base(url))
	if strings.HasSuffix(url, "/") {
		return s, false
	}
	s.URL = url
	folder, found := strings.CutSuffix(url, "/"+storage.Base(url))
	if found {
		s.Cluster = storage.Base(folder)
	}
	return s, ok
}

// parseName reads a snapshot's name.
func parseName(name string) (s Snapshot, ok bool) {
	rest, ok := strings.CutPrefix(name, snapshotPrefix)
	fields := strings.Split(rest, "-")
	if !ok || len(fields) != 3 {
		return s, false
	}
	var errs [3]error
	s.Term, errs[0] = strconv.ParseUint(fields[0], 10, 63)
	s.Revision, errs[1] = strconv.ParseInt(fields[1], 10, 64)
	s.Taken, errs[2] = time.Parse(timeFormat, fields[2])
	return s, errors.Join(errs[:]...) == nil && s.name() == name
}

// parseTerm reads the name of a term's record.
func parseTerm(name string) (n uint64, ok bool) {
	digits, ok := strings.CutPrefix(strings.TrimSuffix(name, ".json"), termPrefix)
	n, err := strconv.ParseUint(digits, 10, 63)
	return n, ok && err == nil && fmt.Sprintf("%s%012d.json", termPrefix, n) == name
}

// Contents is what a bucket has of a cluster.
type Contents struct {
	Bucket    string
	Cluster   string     // its id
	Highest   uint64     // term that it tells of
	Snapshots []Snapshot // the oldest first
	terms     []uint64   // that have a record
}

// Newest is the newest snapshot, nil if there is none.
func (c Contents) Newest() *Snapshot {
	if len(c.Snapshots) == 0 {
		return nil
	}
	return &c.Snapshots[len(c.Snapshots)-1]
}

// Before is the newest snapshot that is older than one, nil if there is none.
func (c Contents) Before(s Snapshot) *Snapshot {
	for i := len(c.Snapshots) - 1; i >= 0; i-- {
		if c.Snapshots[i].Compare(s) < 0 {
			return &c.Snapshots[i]
		}
	}
	return nil
}

// Older is a NewerError if a state with this last term, and this revision, is older than what the bucket tells of.
func (c Contents) Older(term uint64, revision int64) error {
	last := c.Newest()
	switch {
	case term < c.Highest:
		return &NewerError{c.Bucket, c.Highest, fmt.Sprintf("which knows term %d, and its own last is %d", c.Highest, term)}
	case last != nil && last.Term == term && revision < last.Revision:
		return &NewerError{c.Bucket, c.Highest, fmt.Sprintf("which has a later snapshot of the same term %d, of %s", term, last.Taken.Format(time.RFC3339))}
	}
	return nil
}

// Look lists what there is of a cluster.
func (b *Bucket) Look(ctx context.Context, cluster string) (Contents, error) {
	c := Contents{Bucket: b.String(), Cluster: cluster}
	err := b.st.List(ctx, b.folder(cluster), func(o storage.Info) bool {
		name := strings.TrimPrefix(o.URL, b.folder(cluster))
		if s, ok := parseName(name); ok {
			s.URL, s.Cluster, s.Size = o.URL, cluster, o.Size
			c.Snapshots = append(c.Snapshots, s)
			c.Highest = max(c.Highest, s.Term)
		} else if n, ok := parseTerm(name); ok {
			c.terms = append(c.terms, n)
			c.Highest = max(c.Highest, n)
		}
		return true
	})
	if err != nil && !errors.Is(err, storage.ErrNotFound) { // a folder that is not there is as one in which nothing is
		return c, err
	}
	slices.SortFunc(c.Snapshots, Snapshot.Compare)
	return c, nil
}

// abortWithin bounds the giving up of an upload that failed.
const abortWithin = 10 * time.Second

// Save writes a snapshot, which nobody sees before it is complete.
func (b *Bucket) Save(ctx context.Context, s Snapshot, from io.Reader) (url string, err error) {
	u, err := b.st.Create(ctx, b.folder(s.Cluster)+s.name(), storage.UploadOptions{})
	if err != nil {
		return "", err
	}
	_, err = io.Copy(u, from)
	var p storage.Pending
	if err == nil {
		p, err = u.Finish(ctx)
	}
	if err == nil {
		err = b.st.Complete(ctx, p)
	}
	if err != nil {
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortWithin)
		defer cancel()
		_ = u.Abort(late) // Sweep comes again
		return "", err
	}
	return p.URL, nil
}

// Sweep gives up what was begun of snapshots of a cluster and not ended. It is called by the one that leads, while it saves none.
func (b *Bucket) Sweep(ctx context.Context, cluster string) error {
	var left []storage.Pending
	err := b.st.Uploads(ctx, b.folder(cluster)+snapshotPrefix, func(url, id string, _ time.Time) bool {
		left = append(left, storage.Pending{URL: url, ID: id})
		return true
	})
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	for _, p := range left {
		if err := b.st.Abort(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// Thin removes all snapshots but so many of the newest, at least one, and the records of terms but the highest.
func (b *Bucket) Thin(ctx context.Context, cluster string, keep int) error {
	c, err := b.Look(ctx, cluster)
	if err != nil {
		return err
	}
	var gone []string
	for i := 0; i < len(c.Snapshots)-max(keep, 1); i++ {
		gone = append(gone, c.Snapshots[i].URL)
	}
	for _, n := range c.terms {
		if n < slices.Max(c.terms) {
			gone = append(gone, b.termURL(cluster, n))
		}
	}
	for _, url := range gone {
		if err := b.st.Remove(ctx, url); err != nil {
			return err
		}
	}
	return nil
}
