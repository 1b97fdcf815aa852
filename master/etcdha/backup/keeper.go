package backup

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/millrace/millrace/master/journal"
)

// Source is the state that snapshots are of.
type Source interface {
	// Position is the last term and etcd's revision, at some moment after it was called.
	Position(ctx context.Context) (term uint64, revision int64, err error)
	// Snapshot is a copy of the state as it is at some moment after it was called.
	Snapshot(ctx context.Context) (io.ReadCloser, error)
}

// Options are a Keeper's settings.
type Options struct {
	Bucket  *Bucket
	Source  Source
	Cluster string
	Masters []string      // all, if there are several
	Every   time.Duration // between two snapshots; default 10 min
	Kept    int           // snapshots; default 24
	// RecordWithin is how long the beginning of a term waits for the bucket; default 1 s.
	RecordWithin time.Duration
	// Recall is called before a term is noted in the bucket: an error keeps it from being noted, and a NewerError ends Run. nil: nothing
	// is to be done then.
	Recall func(context.Context) error
	// Refused is told the number of a term that cannot be noted, since the state is an old one. nil: nobody is.
	Refused func(term uint64)
	Log     *slog.Logger // default: none

	retry, retryMost time.Duration // after a failure; 0: retryFirst, retryLast
}

// Bounds of a Keeper's work.
const (
	retryFirst     = time.Second
	retryLast      = time.Minute
	lookWithin     = 2 * time.Minute // for a record
	snapshotWithin = 30 * time.Minute
	sayAgain       = 10 * time.Minute // that it still fails, for the same reason
)

// Keeper writes to the bucket while this master leads: that its term has begun, and snapshots. It does so in a goroutine of its own,
// and whatever the bucket does, the term goes on: a bucket that fails is a line in the log.
type Keeper struct {
	o    Options
	wake chan struct{} // holds one when next was set
	said complaint     // of what is written
	tidy complaint     // of what is removed

	mu   sync.Mutex
	next *beginning // the term that is to be looked after; nil: it was taken
}

// beginning is a term that begins here.
type beginning struct {
	term   journal.Term
	record Term
	told   chan error // what became of the record, once; with room for it
}

// NewKeeper returns a Keeper, which does nothing before Run.
func NewKeeper(o Options) *Keeper {
	o.Every = cmp.Or(o.Every, 10*time.Minute)
	o.Kept = cmp.Or(o.Kept, 24)
	o.RecordWithin = cmp.Or(o.RecordWithin, time.Second)
	o.retry, o.retryMost = cmp.Or(o.retry, retryFirst), cmp.Or(o.retryMost, retryLast)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	said := complaint{log: o.Log, bucket: o.Bucket.String()}
	return &Keeper{o: o, wake: make(chan struct{}, 1), said: said, tidy: said}
}

// Begin is called when a term has begun, before its leader does anything. It returns when the bucket knows of it, or after
// RecordWithin: the leader goes on then, and the record follows when the bucket can be written to. The error is a NewerError
// if the state is an old one: then this master must not lead.
func (k *Keeper) Begin(ctx context.Context, term journal.Term, leader string) error {
	b := &beginning{term: term, told: make(chan error, 1), record: Term{
		Cluster: k.o.Cluster, N: term.N, Leader: leader, Masters: k.o.Masters, Nonce: rand.Text(), Begun: time.Now().UTC().Truncate(time.Second),
	}}
	k.mu.Lock()
	k.next = b
	k.mu.Unlock()
	select {
	case k.wake <- struct{}{}:
	default:
	}
	limit := time.NewTimer(k.o.RecordWithin)
	defer limit.Stop()
	select {
	case err := <-b.told:
		return err
	case <-limit.C:
		k.o.Log.Warn("leads before the bucket knows of its term", "url", k.o.Bucket.String(), "term", term.N, "waited", k.o.RecordWithin)
	case <-term.Done:
	case <-ctx.Done():
	}
	return nil
}

// Run looks after the terms that begin until ctx ends. It fails with a NewerError when the state turns out to be an old one.
func (k *Keeper) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-k.wake:
		}
		k.mu.Lock()
		b := k.next
		k.next = nil
		k.mu.Unlock()
		if b == nil {
			continue
		}
		if err := k.lookAfter(ctx, b); err != nil {
			return err
		}
	}
}

// lookAfter writes a term's record and takes snapshots until the term is over.
func (k *Keeper) lookAfter(ctx context.Context, b *beginning) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() {
		select {
		case <-b.term.Done:
			cancel()
		case <-ctx.Done():
		}
	})
	for pause := k.o.retry; ; pause = min(2*pause, k.o.retryMost) {
		err := k.record(ctx, b)
		if isNewer(err) {
			if k.o.Refused != nil {
				k.o.Refused(b.term.N)
			}
			b.told <- err
			return err
		}
		if err == nil || ctx.Err() != nil || errors.Is(err, errOver) {
			b.told <- nil
			if err != nil {
				return nil
			}
			break
		}
		k.said.say("the bucket does not know of this term yet, and gets no snapshots", err)
		wait(ctx, pause)
	}
	k.said.well("the bucket knows of this term")
	return k.snapshots(ctx, b)
}

// record makes the bucket know of the term.
func (k *Keeper) record(ctx context.Context, b *beginning) error {
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	err := k.claim(ctx, b)
	if err == nil && k.o.Recall != nil {
		err = k.o.Recall(ctx)
	}
	if err == nil {
		err = k.o.Bucket.BeginTerm(ctx, b.record)
	}
	return k.judge(ctx, b, err)
}

// claim makes the bucket the cluster's, also again: what removes old objects from it by their age may remove that record, and without it
// a master with an empty data directory would begin as if nothing had been.
func (k *Keeper) claim(ctx context.Context, b *beginning) error {
	return k.o.Bucket.Claim(ctx, Claim{Cluster: k.o.Cluster, By: b.record.Leader, Made: b.record.Begun})
}

// errOver is that another leads by now.
var errOver = errors.New("the term is over")

// judge asks the journal whether a bucket that tells of a later time does so because another leads by now. Only if not, the state
// is an old one.
func (k *Keeper) judge(ctx context.Context, b *beginning, err error) error {
	if !isNewer(err) {
		return err
	}
	term, _, posErr := k.o.Source.Position(ctx)
	switch {
	case posErr != nil:
		return fmt.Errorf("%v, and the journal does not say whether this one is over: %w", err, posErr)
	case term > b.term.N:
		return errOver
	}
	return err
}

// snapshots takes snapshots until the term is over. The first is due as long after the last one, whoever took it, as any other.
func (k *Keeper) snapshots(ctx context.Context, b *beginning) error {
	for first := true; ; first = false {
		next, err := k.snapshot(ctx, b, first)
		switch {
		case isNewer(err):
			return err
		case ctx.Err() != nil, errors.Is(err, errOver):
			return nil
		case err != nil:
			k.said.say("no snapshot can be taken", err)
			next = min(k.o.Every, k.o.retryMost)
		default:
			k.said.well("snapshots are taken again")
		}
		wait(ctx, next)
	}
}

// snapshot takes one, and returns when the next is due. The first is left out if the last is younger than that.
func (k *Keeper) snapshot(ctx context.Context, b *beginning, first bool) (next time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, snapshotWithin)
	defer cancel()
	have, err := k.o.Bucket.Look(ctx, k.o.Cluster)
	if err == nil {
		err = k.judge(ctx, b, have.Older(b.term.N, math.MaxInt64))
	}
	if err != nil {
		return 0, err
	}
	if last := have.Newest(); first && last != nil {
		// A clock that ran ahead when that was taken puts the next off by no more than usual.
		if due := min(time.Until(last.Taken.Add(k.o.Every)), k.o.Every); due > 0 {
			return due, nil
		}
	}
	term, revision, err := k.o.Source.Position(ctx)
	if err != nil {
		return 0, err
	}
	if term != b.term.N || !b.term.Lasts() {
		return 0, errOver
	}
	if err := k.claim(ctx, b); err != nil {
		return 0, err
	}
	tidied := k.o.Bucket.Sweep(ctx, k.o.Cluster)
	if err := k.save(ctx, term, revision); err != nil {
		return 0, err
	}
	if tidied == nil {
		tidied = k.o.Bucket.Thin(ctx, k.o.Cluster, k.o.Kept)
	}
	if tidied != nil {
		k.tidy.say("old snapshots cannot be removed", tidied)
	} else {
		k.tidy.well("old snapshots are removed again")
	}
	return k.o.Every, nil
}

// save takes one snapshot.
func (k *Keeper) save(ctx context.Context, term uint64, revision int64) error {
	begun := time.Now()
	from, err := k.o.Source.Snapshot(ctx)
	if err != nil {
		return err
	}
	s := Snapshot{Cluster: k.o.Cluster, Term: term, Revision: revision, Taken: begun.UTC().Truncate(time.Second)}
	count := &counted{r: from}
	url, err := k.o.Bucket.Save(ctx, s, count)
	if e := from.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	k.o.Log.Info("snapshot taken", "url", url, "bytes", count.n, "took", time.Since(begun).Round(time.Millisecond))
	return nil
}

// counted counts what is read.
type counted struct {
	r io.Reader
	n int64
}

// Read implements io.Reader.
func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// complaint says what is wrong, and that it is well again; each reason once, and again after sayAgain.
type complaint struct {
	log    *slog.Logger
	bucket string
	reason string // of the last that was said; "": all is well
	at     time.Time
}

func (c *complaint) say(what string, err error) {
	root := err // names of objects are never the same twice
	for next := err; next != nil; next = errors.Unwrap(next) {
		root = next
	}
	if reason := what + root.Error(); reason != c.reason || time.Since(c.at) > sayAgain {
		c.reason, c.at = reason, time.Now()
		c.log.Warn(what, "url", c.bucket, "error", err)
	}
}

func (c *complaint) well(what string) {
	if c.reason != "" {
		c.reason = ""
		c.log.Info(what, "url", c.bucket)
	}
}

// wait returns after d or when ctx ends.
func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
