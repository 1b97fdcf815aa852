package sched_test

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// bucket is the object store: objects, and pending uploads that its own sweeper may end.
type bucket struct {
	server
	objects map[objectKey]object
	uploads []*upload // in the order of their beginnings
	runs    map[attemptID]uint64
	ids     int
}

// objectKey names an object: a part of an output, or its manifest.
type objectKey struct {
	output string
	phase  uint8 // of the task whose part it is; of the manifest and the claim see below
	index  int
}

const (
	manifestObject = 100 + iota
	claimObject
)

func (k objectKey) String() string {
	switch k.phase {
	case manifestObject:
		return k.output + "/_SUCCESS"
	case claimObject:
		return k.output + "/.claim"
	}
	return fmt.Sprintf("%s/part-%d-%05d", k.output, k.phase, k.index)
}

// object is what a key holds.
type object struct {
	sum      uint64
	manifest *simManifest // of manifestObject
}

// upload is a pending one: the object is not visible until it is completed.
type upload struct {
	pending
	by attemptID
	at time.Duration
}

// pending is what a worker tells of an upload.
type pending struct {
	key objectKey
	id  int
	sum uint64
}

// simManifest is what a committed output says of itself.
type simManifest struct {
	job     jobID
	parts   []pending
	records int64
	decided time.Duration
}

var (
	errPendingLost  = errors.New("pending upload lost")
	errPrecondition = errors.New("the object is there")
)

func newBucket(w *world) *bucket {
	return &bucket{server: server{w: w, at: atBucket, timeout: 8 * time.Second}, objects: map[objectKey]object{}, runs: map[attemptID]uint64{}}
}

// create begins an upload and writes it whole.
func (b *bucket) create(key objectKey, sum uint64, by attemptID) pending {
	b.ids++
	p := pending{key: key, id: b.ids, sum: sum}
	b.uploads = append(b.uploads, &upload{pending: p, by: by, at: b.w.now})
	return p
}

func (b *bucket) find(id int) *upload {
	for _, u := range b.uploads {
		if u.id == id {
			return u
		}
	}
	return nil
}

// lookup tells whether complete would succeed.
func (b *bucket) lookup(p pending) error {
	if b.find(p.id) != nil {
		return nil
	}
	if o, ok := b.objects[p.key]; ok && o.sum == p.sum {
		return nil
	}
	return errPendingLost
}

// complete makes an upload visible; again, if the object is there as it should be.
func (b *bucket) complete(p pending) error {
	u := b.find(p.id)
	if u == nil {
		return b.lookup(p)
	}
	b.drop(u)
	b.set(p.key, object{sum: p.sum}, u.by.Task.Job)
	return nil
}

func (b *bucket) abort(id int, by jobID) {
	if u := b.find(id); u != nil {
		b.w.check.aborted(u, by)
		b.drop(u)
	}
}

func (b *bucket) drop(u *upload) {
	b.uploads = slices.DeleteFunc(b.uploads, func(o *upload) bool { return o == u })
}

func (b *bucket) set(key objectKey, o object, by jobID) {
	b.w.log("bucket: %v is written for job %s", key, by)
	b.objects[key] = o
	b.w.check.changed(key, by)
}

// putIfAbsent writes an object unless there is one.
func (b *bucket) putIfAbsent(key objectKey, o object, by jobID) error {
	if _, there := b.objects[key]; there {
		return errPrecondition
	}
	b.set(key, o, by)
	return nil
}

func (b *bucket) remove(key objectKey, by jobID) {
	if _, there := b.objects[key]; there {
		b.w.log("bucket: %v is removed for job %s", key, by)
		delete(b.objects, key)
		b.w.check.changed(key, by)
	}
}

// expire ends uploads as a lifecycle rule does, whosever they are.
func (b *bucket) expire() {
	if len(b.uploads) == 0 {
		return
	}
	u := b.uploads[b.w.rng.IntN(len(b.uploads))]
	b.w.log("bucket: the upload of %v by %v expires", u.key, u.by)
	b.w.stats.count(statExpired)
	b.w.check.expired(u)
	b.drop(u)
}

// list returns the keys of an output's objects, in order.
func (b *bucket) list(output string) (keys []objectKey) {
	for k := range b.objects {
		if k.output == output {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(a, b objectKey) int {
		if a.phase != b.phase {
			return int(a.phase) - int(b.phase)
		}
		return a.index - b.index
	})
	return keys
}

func (m *simManifest) sum() uint64 {
	h := mixed(uint64(m.records), uint64(m.decided), uint64(m.job[0]))
	for _, p := range m.parts {
		h = mixed(h, p.sum, uint64(p.key.phase), uint64(p.key.index))
	}
	return h
}

// removeRuns removes the runs that a job has in the bucket.
func (b *bucket) removeRuns(id jobID) {
	for a := range b.runs {
		if a.Task.Job == id {
			delete(b.runs, a)
		}
	}
}
