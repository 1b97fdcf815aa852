package doctor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/millrace/millrace/storage"
)

// Parts of an output are pending uploads until the master completes them, all of them, after the decision to commit.
const (
	lostPending = "Parts become visible before their job is committed, or after it failed: readers see half an output, or a wrong one."
	doPending   = "Use another server, or a newer release of this one: its multipart uploads are not those of S3."
)

var pendingChecks = []check{
	{name: "pending upload", lost: lostPending, do: doPending, run: (*exam).invisible},
	{
		name: "upload completed", run: (*exam).completed, do: doPending,
		lost: "A committed part is not what the task wrote.",
	},
	{
		name: "upload completed twice", run: (*exam).completedTwice, do: doPending,
		lost: "A master that repeats a commit, since it was interrupted or heard no answer, destroys the output or gives up.",
	},
	{
		name: "upload completed by several", minor: true, run: (*exam).completedBySeveral,
		lost: "A master that takes a commit over while the one before it still completes uploads takes a part for lost, and the job fails. Nothing wrong becomes visible.",
		do:   "Run such a job again with --overwrite.",
	},
	{name: "upload aborted", lost: lostPending, do: doPending, run: (*exam).aborted},
	{
		name: "pending uploads listed", minor: true, run: (*exam).uploadsListed,
		lost: "What killed processes leave pending is not found, neither by masters nor by millrace gc: it costs space for ever.",
		do:   "Give the bucket a lifecycle rule that aborts incomplete multipart uploads after some days.",
	},
}

// partBytes is the size of a part that is not the last: the least that S3 takes.
const partBytes = 5 << 20

// content is bytes that no store compresses, the same for the same seed.
func content(seed uint64, n int) []byte {
	var key [32]byte
	key[0], key[1] = byte(seed), byte(seed>>8)
	b := make([]byte, n)
	_, _ = rand.NewChaCha8(key).Read(b) // never fails
	return b
}

// pend writes an upload and leaves it pending.
func (e *exam) pend(ctx context.Context, name string, body []byte) (storage.Pending, error) {
	u, err := e.store.Create(ctx, e.url(name), storage.UploadOptions{PartBytes: int64(e.o.partBytes)})
	if err != nil {
		return storage.Pending{}, err
	}
	if _, err = u.Write(body); err == nil {
		var p storage.Pending
		if p, err = u.Finish(ctx); err == nil {
			return p, nil
		}
	}
	return storage.Pending{}, errors.Join(err, u.Abort(context.WithoutCancel(ctx)))
}

// invisible: what is pending is neither read nor listed, and an object of its name stays what it is.
func (e *exam) invisible(ctx context.Context) (string, error) {
	old := []byte("the object before")
	if err := e.store.Put(ctx, e.url("pending/over"), old, false); err != nil {
		return "", err
	}
	for _, name := range []string{"pending/new", "pending/over"} {
		if _, err := e.pend(ctx, name, content(1, e.o.partBytes+1000)); err != nil {
			return "", err
		}
	}
	if err := e.absent(ctx, e.url("pending/new")); err != nil {
		return "", orFault(err, "the object can be read before its upload is completed")
	}
	if err := e.holds(ctx, e.url("pending/over"), old); err != nil {
		return "", orFault(err, "an upload that was not completed changed the object of its name")
	}
	names, err := e.list(ctx, "pending/")
	if err == nil && len(names) != 1 {
		err = faultf("the listing shows %q, of which only pending/over was completed", names)
	}
	return "two parts and more were written, and nothing of them is seen", err
}

// completed: the object is then there, whole, in the place of one that was there before.
func (e *exam) completed(ctx context.Context) (string, error) {
	for _, size := range []int{0, 1, 2*e.o.partBytes + 12345} {
		name, body := fmt.Sprintf("completed/%d", size), content(2, size)
		if err := e.store.Put(ctx, e.url(name), []byte("before"), false); err != nil {
			return "", err
		}
		p, err := e.pend(ctx, name, body)
		if err != nil {
			return "", err
		}
		if err := e.store.Complete(ctx, p); err != nil {
			return "", lost(err)
		}
		if err := e.holds(ctx, p.URL, body); err != nil {
			return "", orFault(err, fmt.Sprintf("the object of an upload of %d bytes holds other bytes", size))
		}
		info, err := e.store.Stat(ctx, p.URL)
		if err != nil {
			return "", err
		}
		if info.Size != int64(size) {
			return "", faultf("the object of an upload of %d bytes is said to have %d", size, info.Size)
		}
	}
	return "objects of one to three parts hold the bytes that were written, and replaced those before", nil
}

// lost makes a fault of an upload that is gone.
func lost(err error) error {
	if errors.Is(err, storage.ErrPendingLost) {
		return faultf("an upload that was whole could not be completed: %v", err)
	}
	return err
}

// completedTwice: whoever holds an upload's name may complete it, and complete it again.
func (e *exam) completedTwice(ctx context.Context) (string, error) {
	body := content(3, e.o.partBytes+500)
	p, err := e.pend(ctx, "twice", body)
	if err != nil {
		return "", err
	}
	for _, do := range []func(context.Context, storage.Pending) error{e.store.Complete, e.store.Complete, e.store.Lookup, e.store.Complete} {
		if err := do(ctx, p); err != nil {
			return "", lost(err)
		}
	}
	return "it was completed three times, and the object stayed as it is", orFault(e.holds(ctx, p.URL, body), "completed again, the object lost its bytes")
}

// completedBySeveral: at the same time, too; each of them finds it done, and the object is whole.
func (e *exam) completedBySeveral(ctx context.Context) (string, error) {
	body := content(3, e.o.partBytes+500)
	p, err := e.pend(ctx, "several", body)
	if err != nil {
		return "", err
	}
	errs := make([]error, 4)
	var g sync.WaitGroup
	for i := range errs {
		g.Go(func() { errs[i] = e.store.Complete(ctx, p) })
	}
	g.Wait()
	if err := e.holds(ctx, p.URL, body); err != nil {
		return "", orFault(err, "completed by four at a time, the object is not what was written")
	}
	for _, err := range errs {
		if errors.Is(err, storage.ErrPendingLost) {
			return "", faultf("of four that completed it at a time one found neither the upload nor the object, though it was whole afterwards")
		}
		if err != nil {
			return "", err
		}
	}
	return "four completed it at a time, and each found it done", nil
}

// aborted: what was aborted can neither be written to nor completed, nor seen.
func (e *exam) aborted(ctx context.Context) (string, error) {
	p, err := e.pend(ctx, "aborted", content(4, 1000))
	if err != nil {
		return "", err
	}
	key := e.key + "aborted"
	for range 2 {
		if err := e.store.Abort(ctx, p); err != nil {
			return "", err
		}
	}
	_, err = e.traces.Uploads().Part(ctx, key, p.ID, 2, []byte("late"))
	if err == nil {
		return "", faultf("a late writer could still write to an upload that was aborted")
	}
	if !errors.Is(err, storage.ErrNotFound) {
		return "", err
	}
	err = e.store.Complete(ctx, p)
	if err == nil {
		return "", faultf("an upload that was aborted could still be completed")
	}
	if !errors.Is(err, storage.ErrPendingLost) {
		return "", err
	}
	return "it takes no late part, cannot be completed, and nothing of it is seen", e.absent(ctx, p.URL)
}

// uploadsListed: what is pending is found by the folder it lies in, with when it was begun, until it is aborted.
func (e *exam) uploadsListed(ctx context.Context) (string, error) {
	want := map[string]bool{}
	for i := range 3 {
		p, err := e.pend(ctx, fmt.Sprintf("listed/part-%d", i), []byte("pending"))
		if err != nil {
			return "", err
		}
		want[p.URL+" "+p.ID] = true
	}
	find := func() (n int, dated bool, err error) {
		dated = true
		err = e.store.Uploads(ctx, e.url("listed/"), func(url, id string, begun time.Time) bool {
			if want[url+" "+id] {
				n++
			}
			dated = dated && !begun.IsZero()
			return true
		})
		return n, dated, err
	}
	n, dated, err := find()
	switch {
	case err != nil:
		return "", err
	case n != len(want):
		return "", faultf("%d of %d uploads are listed", n, len(want))
	case !dated:
		return "", faultf("the listing does not say when the uploads were begun, so none of them can be known for old")
	}
	for name := range want {
		url, id, _ := strings.Cut(name, " ")
		if err := e.store.Abort(ctx, storage.Pending{URL: url, ID: id}); err != nil {
			return "", err
		}
	}
	if n, _, err = find(); err == nil && n > 0 {
		err = faultf("%d of %d uploads are still listed after they were aborted", n, len(want))
	}
	return "they are found by their folder until they are aborted", err
}

// equal says whether a range of a body is what was read.
func equal(got, body []byte, off, n int64) bool {
	off = min(off, int64(len(body)))
	end := int64(len(body))
	if n >= 0 {
		end = min(end, off+n)
	}
	return bytes.Equal(got, body[off:end])
}
