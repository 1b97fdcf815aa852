package storage

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// Lookup tells whether Complete would succeed: the upload is there with all its parts, or the object is there already,
// with this content. Otherwise the error wraps ErrPendingLost.
func (s *Store) Lookup(ctx context.Context, p Pending) error {
	t, err := s.object(ctx, "look up", p.URL)
	if err != nil {
		return err
	}
	_, err = s.whole(ctx, "look up", t, p)
	if errors.Is(err, ErrNotFound) {
		return s.verify(ctx, "look up", t, p)
	}
	return err
}

// Complete makes a pending upload visible. Anyone who holds p may call it, any number of times and at the same time: if the
// upload is gone, the object must be there with this size and CRC32C, else the error wraps ErrPendingLost. After an answer
// that was lost it looks again.
func (s *Store) Complete(ctx context.Context, p Pending) error {
	t, err := s.object(ctx, "complete", p.URL)
	if err != nil {
		return err
	}
	parts, err := s.whole(ctx, "complete", t, p)
	if errors.Is(err, ErrNotFound) {
		return s.forgotten(ctx, t, p)
	}
	if err != nil {
		return err
	}
	var o Object
	err = s.do(ctx, "complete", t.String(), func(ctx context.Context) (err error) {
		o, err = t.b.Uploads().Complete(ctx, t.Key, p.ID, parts)
		return err
	})
	switch {
	case errors.Is(err, ErrNotFound):
		return s.forgotten(ctx, t, p)
	case err != nil:
		return err
	case o.Size == p.Size && (p.ETag == "" || p.ETag == o.ETag):
		return nil
	default: // a server may make ETags in a way of its own, or not tell the size: the content decides
		return s.verify(ctx, "complete", t, p)
	}
}

// lookAgain is how often Complete looks for the object of an upload that is gone. While somebody else completes it, versitygw
// shows neither for a moment.
const lookAgain = 5

// errNeither is what such a moment looks like, and the loss of an upload too.
var errNeither = fmt.Errorf("%w: neither the upload nor the object is there", ErrPendingLost)

// forgotten ends a Complete whose upload is gone.
func (s *Store) forgotten(ctx context.Context, t target, p Pending) error {
	err := s.verify(ctx, "complete", t, p)
	for n := 1; n < lookAgain && errors.Is(err, errNeither); n++ {
		if s.o.Sleep(ctx, s.pause(n)) != nil {
			return context.Cause(ctx)
		}
		err = s.verify(ctx, "complete", t, p)
	}
	if err != nil {
		return err
	}
	// What a crash in the midst of an earlier Complete may have left behind goes now: nobody asks for this id again.
	return s.abort(ctx, t, p.ID)
}

// Abort forgets a pending upload. One that is gone, completed or not, is no error.
func (s *Store) Abort(ctx context.Context, p Pending) error {
	t, err := s.object(ctx, "abort", p.URL)
	if err != nil {
		return err
	}
	return s.abort(ctx, t, p.ID)
}

func (s *Store) abort(ctx context.Context, t target, id string) error {
	err := s.do(ctx, "abort", t.String(), func(ctx context.Context) error {
		return t.b.Uploads().Abort(ctx, t.Key, id)
	})
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// whole gives the parts of an upload, checked against what its writer reported. ErrNotFound means that it is gone.
func (s *Store) whole(ctx context.Context, op string, t target, p Pending) ([]Part, error) {
	parts, err := s.parts(ctx, op, t, p.ID)
	if err != nil {
		return nil, err
	}
	var size int64
	for i, part := range parts {
		if part.Number != i+1 {
			return nil, fail(op, t.String(), 1, fmt.Errorf("%w: part %d of %d is missing", ErrPendingLost, i+1, p.Parts))
		}
		size += part.Size
	}
	if len(parts) != p.Parts || size != p.Size {
		return nil, fail(op, t.String(), 1, fmt.Errorf("%w: it holds %d bytes in %d parts, not %d in %d",
			ErrPendingLost, size, len(parts), p.Size, p.Parts))
	}
	return parts, nil
}

// verify checks that the object is what p would have become: by its ETag where that was foretold, else by its bytes.
func (s *Store) verify(ctx context.Context, op string, t target, p Pending) error {
	body, info, err := s.Read(ctx, t.String(), 0, -1, "")
	if errors.Is(err, ErrNotFound) {
		return fail(op, t.String(), 1, errNeither)
	}
	if err != nil {
		return err
	}
	defer body.Close()
	if info.Size != p.Size {
		return fail(op, t.String(), 1, fmt.Errorf("%w: another object of %d bytes is there, not %d", ErrPendingLost,
			info.Size, p.Size))
	}
	if p.ETag != "" && info.ETag == p.ETag {
		return nil
	}
	sum := crc32.New(castagnoli)
	if _, err := io.Copy(sum, body); err != nil {
		return err
	}
	if sum.Sum32() != p.CRC32C {
		return fail(op, t.String(), 1, fmt.Errorf("%w: another object is there: its CRC32C is %08x, not %08x",
			ErrPendingLost, sum.Sum32(), p.CRC32C))
	}
	return nil
}
