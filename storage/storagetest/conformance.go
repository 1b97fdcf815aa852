// Package storagetest tests storage backends and what stands on them: Run is the suite that every storage.Backend
// passes, Faulty wraps a Backend so that it fails on demand.
//
// The suite says in code what the comments of storage.Backend say in words. It knows no particular backend; what a strict
// S3 server refuses (parts under 5 MiB, an upload without parts) it does not do.
package storagetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/millrace/millrace/storage"
)

// minPart is the least size of a part that is not the last one, as S3 has it.
const minPart = 5 << 20

// Run runs the suite. open is called once per case and gives an empty Backend; it may use t.Cleanup, and it must not
// share objects between two calls.
func Run(t *testing.T, open func(t *testing.T) storage.Backend) {
	cases := []struct {
		name string
		run  func(*suite)
	}{
		{"list order and prefixes", listOrder},
		{"list by level", listLevels},
		{"list stops", listStops},
		{"list many", listMany},
		{"read ranges", readRanges},
		{"read describes", readDescribes},
		{"read of a changed object", readChanged},
		{"read of nothing", readNothing},
		{"read of a large object", readLarge},
		{"write replaces", putReplaces},
		{"write if absent", putIfAbsent},
		{"write if absent, raced", putRaced},
		{"remove", remove},
		{"strange names", strangeNames},
		{"cancelled", cancelled},
		{"upload", upload},
		{"upload out of order and replaced", uploadDisorder},
		{"upload completed twice", uploadTwice},
		{"upload aborted", uploadAborted},
		{"upload replaces an object", uploadReplaces},
		{"upload of nothing", uploadEmpty},
		{"uploads listed", uploadsListed},
		{"uploads to one key", uploadsSideBySide},
		{"upload unknown", uploadUnknown},
		{"upload with strange names", uploadStrangeNames},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(&suite{t, t.Context(), open(t)})
		})
	}
}

// suite is one case at work. Its helpers end the case when what they need fails.
type suite struct {
	*testing.T
	ctx context.Context
	b   storage.Backend
}

func (s *suite) put(key, body string) storage.Object {
	s.Helper()
	o, err := s.b.Put(s.ctx, key, []byte(body), false)
	if err != nil {
		s.Fatalf("Put(%q): %v", key, err)
	}
	return o
}

// read reads a range and its description.
func (s *suite) read(key string, off, n int64, etag string) ([]byte, storage.Object) {
	s.Helper()
	body, o, err := s.b.Read(s.ctx, key, off, n, etag)
	if err != nil {
		s.Fatalf("Read(%q, %d, %d): %v", key, off, n, err)
	}
	got, err := io.ReadAll(body)
	if err != nil {
		s.Fatalf("Read(%q, %d, %d): body: %v", key, off, n, err)
	}
	if err := body.Close(); err != nil {
		s.Fatalf("Read(%q, %d, %d): close: %v", key, off, n, err)
	}
	return got, o
}

// wantObject checks a whole object's content.
func (s *suite) wantObject(key string, want []byte) {
	s.Helper()
	got, o := s.read(key, 0, -1, "")
	if !bytes.Equal(got, want) {
		s.Errorf("object %q holds %s, want %s", key, brief(got), brief(want))
	}
	if o.Size != int64(len(want)) || o.ETag == "" {
		s.Errorf("object %q is described as %d bytes, ETag %q; want %d bytes and an ETag", key, o.Size, o.ETag, len(want))
	}
}

// wantErr checks that an error wraps the sentinel.
func (s *suite) wantErr(what string, err, want error) {
	s.Helper()
	if !errors.Is(err, want) {
		s.Errorf("%s: got error %v, want one that is %q", what, err, want)
	}
}

// wantAbsent checks that there is no such object.
func (s *suite) wantAbsent(key string) {
	s.Helper()
	body, _, err := s.b.Read(s.ctx, key, 0, 0, "")
	if err == nil {
		body.Close()
	}
	s.wantErr(fmt.Sprintf("Read(%q)", key), err, storage.ErrNotFound)
}

// keys lists the keys below prefix.
func (s *suite) keys(prefix, delim string) []string {
	s.Helper()
	var keys []string
	err := s.b.List(s.ctx, prefix, delim, func(o storage.Object) bool {
		keys = append(keys, o.Key)
		return true
	})
	if err != nil {
		s.Fatalf("List(%q, %q): %v", prefix, delim, err)
	}
	return keys
}

// brief shows a body in an error message.
func brief(b []byte) string {
	if len(b) <= 40 {
		return fmt.Sprintf("%q", b)
	}
	return fmt.Sprintf("%d bytes beginning %q", len(b), b[:40])
}

// random is n bytes that do not compress, the same for the same seed.
func random(seed uint64, n int) []byte {
	var key [32]byte
	key[0], key[1] = byte(seed), byte(seed>>8)
	b := make([]byte, n)
	rand.NewChaCha8(key).Read(b)
	return b
}
