package backup

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/millrace/millrace/storage"
)

// Found is what a URL means that a person gave.
type Found struct {
	Bucket   *Bucket   // nil: a snapshot that lies by itself, as a copy does
	Contents Contents  // of the cluster
	Snapshot *Snapshot // the one that the URL names, or the newest; nil: there is none. Alone, only its URL and Size are known
}

// Find says what a URL means: a snapshot, a bucket, or a cluster's folder in one.
func Find(ctx context.Context, st *storage.Store, url string) (Found, error) {
	b, err := New(st, url)
	if err != nil {
		return Found{}, err
	}
	if s, ok := IsSnapshot(b.url); ok && !strings.HasSuffix(url, "/") {
		return findObject(ctx, b, s)
	}
	if dir, name := parent(b.url); isID(name) {
		return (&Bucket{st, dir}).find(ctx, name)
	}
	c, err := b.Cluster(ctx)
	if errors.Is(err, ErrNone) && !strings.HasSuffix(url, "/") {
		if info, statErr := st.Stat(ctx, b.url); statErr == nil {
			return Found{Snapshot: &Snapshot{URL: info.URL, Size: info.Size}}, nil
		}
	}
	if errors.Is(err, ErrNone) {
		return Found{}, b.none(ctx, err)
	}
	if err != nil {
		return Found{}, err
	}
	return b.find(ctx, c.Cluster)
}

// none adds to ErrNone of which clusters there is something all the same: the record that says whose the bucket is may be removed.
func (b *Bucket) none(ctx context.Context, err error) error {
	var clusters []string
	listErr := b.st.List(ctx, b.String(), func(o storage.Info) bool {
		id, _, inside := strings.Cut(strings.TrimPrefix(o.URL, b.String()), "/")
		if inside && isID(id) && !slices.Contains(clusters, id) {
			clusters = append(clusters, id)
		}
		return len(clusters) < 3
	})
	if listErr != nil || len(clusters) == 0 {
		return err
	}
	return fmt.Errorf("%w, but there is something of cluster %s: name the cluster's folder, as in %s", err, strings.Join(clusters, ", "), b.folder(clusters[0]))
}

// Fetch reads the snapshot, as it is there.
func (f Found) Fetch(ctx context.Context, st *storage.Store, to io.Writer) error {
	body, _, err := st.Read(ctx, f.Snapshot.URL, 0, -1, "")
	if err != nil {
		return err
	}
	defer body.Close()
	_, err = io.Copy(to, body)
	return err
}

// findObject finds a snapshot by its own URL, and what else there is of its cluster if it lies where it was written.
func findObject(ctx context.Context, b *Bucket, s Snapshot) (Found, error) {
	info, err := b.st.Stat(ctx, b.url)
	if errors.Is(err, storage.ErrNotFound) {
		folder, _ := parent(b.url)
		err = fmt.Errorf("%w: millrace master snapshots %s lists those that there are", err, folder)
	}
	if err != nil {
		return Found{}, err
	}
	s.URL, s.Size = info.URL, info.Size
	if !isID(s.Cluster) {
		return Found{Snapshot: &s}, nil
	}
	folder, _ := parent(b.url)
	root, _ := parent(folder)
	f, err := (&Bucket{b.st, root}).find(ctx, s.Cluster)
	f.Snapshot = &s
	return f, err
}

// find is all that there is of a cluster.
func (b *Bucket) find(ctx context.Context, cluster string) (Found, error) {
	c, err := b.Look(ctx, cluster)
	if err == nil && c.Highest == 0 {
		err = fmt.Errorf("%w: nothing lies in %s", ErrNone, b.folder(cluster))
	}
	return Found{Bucket: b, Contents: c, Snapshot: c.Newest()}, err
}

// parent cuts the last name off a URL.
func parent(url string) (dir, name string) {
	name = storage.Base(url)
	return strings.TrimSuffix(strings.TrimSuffix(url, name), "/"), name
}

// isID says whether a name is a cluster's id.
func isID(name string) bool {
	id, err := hex.DecodeString(name)
	return err == nil && len(id) == 16
}
