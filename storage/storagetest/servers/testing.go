package servers

import (
	"crypto/rand"
	"strings"
	"testing"
)

// MinIO starts a MinIO server that ends with the test. Its log is shown when the test fails.
func MinIO(t testing.TB) *Server {
	t.Helper()
	return startFor(t, KindMinIO)
}

// VersityGW starts a versitygw server over its posix backend that ends with the test. Its log is shown when the test fails.
func VersityGW(t testing.TB) *Server {
	t.Helper()
	return startFor(t, KindVersityGW)
}

// NewBucket makes an empty bucket of a new name.
func (s *Server) NewBucket(t testing.TB) string {
	t.Helper()
	name := "bucket-" + strings.ToLower(rand.Text()[:12])
	if err := s.MakeBucket(name); err != nil {
		t.Fatal(err)
	}
	return name
}

// startFor fails the test when the server cannot be built: a suite that skips silently proves nothing.
func startFor(t testing.TB, kind Kind) *Server {
	t.Helper()
	s, err := Start(t.Context(), kind, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Close()
		if t.Failed() {
			t.Logf("log of %s:\n%s", kind, s.Log())
		}
	})
	return s
}
