package member

import (
	"strings"
	"testing"
)

// What a member tells of its database grows by each write, and by about what is written.
func TestUsage(t *testing.T) {
	t.Parallel()
	m := start(t, t.TempDir(), fast(t))
	before := m.Usage()
	const value = 100_000
	for range 20 {
		if _, err := m.Client().Put(t.Context(), "/a", strings.Repeat("x", value)); err != nil {
			t.Fatal(err)
		}
	}
	m.etcd.Server.Backend().ForceCommit() // a size is that of the last commit
	after := m.Usage()
	if n := after.Writes - before.Writes; n < 20 || n > 25 { // etcd may have written something of its own
		t.Errorf("%d writes, want 20", n)
	}
	if grown := after.InUse - before.InUse; grown < 20*value || grown > 22*value || after.File < after.InUse {
		t.Errorf("grown by %d bytes to %d of %d, want a little more than %d", grown, after.InUse, after.File, 20*value)
	}
}
