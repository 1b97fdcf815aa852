package s3store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/millrace/millrace/storage"
)

// errStalled is the cause of a request's end when its peer was silent for too long.
var errStalled = errors.New("no answer in time")

// watchdog ends requests whose peer is silent: one that takes no more of the request's body, sends no headers, or stops in the
// midst of the answer's body. http.Transport has a limit for the second only. What counts is silence, not the time in all, so a
// large body may take as long as it moves. The time a caller takes between two reads of the body is its own.
type watchdog struct {
	base              http.RoundTripper
	stall, completion time.Duration
}

// RoundTrip makes the request.
func (w *watchdog) RoundTrip(req *http.Request) (*http.Response, error) {
	limit := w.stall
	if req.Method == http.MethodPost && req.URL.Query().Has("uploadId") {
		limit = w.completion
	}
	ctx, cancel := context.WithCancelCause(req.Context())
	s := &silence{limit: limit, ctx: ctx, cancel: cancel}
	s.timer = time.AfterFunc(limit, func() { cancel(errStalled) })
	req = req.WithContext(ctx)
	if req.Body != nil && req.Body != http.NoBody {
		req.Body = &sending{req.Body, s}
	}
	storage.CountRequests(ctx, kindOf(req), 1)
	resp, err := w.base.RoundTrip(req)
	s.timer.Stop()
	if err != nil {
		err = s.explain(err)
		cancel(nil)
		return nil, err
	}
	resp.Body = &receiving{resp.Body, s}
	return resp, nil
}

// kindOf says what a request asks for.
func kindOf(req *http.Request) storage.RequestKind {
	q := req.URL.Query()
	switch req.Method {
	case http.MethodHead:
		return storage.RequestHead
	case http.MethodPut:
		if q.Has("uploadId") {
			return storage.RequestPart
		}
		return storage.RequestPut
	case http.MethodPost:
		if q.Has("uploads") {
			return storage.RequestCreate
		}
		return storage.RequestComplete
	case http.MethodDelete:
		if q.Has("uploadId") {
			return storage.RequestAbort
		}
		return storage.RequestDelete
	}
	if q.Has("list-type") || q.Has("uploads") || q.Has("uploadId") {
		return storage.RequestList
	}
	return storage.RequestGet
}

// silence is the limit of one request.
type silence struct {
	limit  time.Duration
	ctx    context.Context // of the request
	cancel context.CancelCauseFunc
	timer  *time.Timer
}

// explain tells a stall from a request that was cancelled.
func (s *silence) explain(err error) error {
	if errors.Is(context.Cause(s.ctx), errStalled) {
		return fmt.Errorf("%w: silent for %v", errStalled, s.limit)
	}
	return err
}

// sending is a request's body: that more of it is asked for is a sign of life.
type sending struct {
	io.ReadCloser
	s *silence
}

// Read hands on the next bytes.
func (b *sending) Read(p []byte) (int, error) {
	b.s.timer.Reset(b.s.limit)
	return b.ReadCloser.Read(p)
}

// receiving is an answer's body.
type receiving struct {
	body io.ReadCloser
	s    *silence
}

// Read waits for bytes for the limit at most.
func (b *receiving) Read(p []byte) (int, error) {
	b.s.timer.Reset(b.s.limit)
	n, err := b.body.Read(p)
	b.s.timer.Stop()
	if err != nil && err != io.EOF {
		err = b.s.explain(err)
	}
	return n, err
}

// Close ends the request.
func (b *receiving) Close() error {
	err := b.body.Close()
	b.s.timer.Stop()
	b.s.cancel(nil)
	return err
}
