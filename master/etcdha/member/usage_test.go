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
	// Of the database's last page, which each commit writes elsewhere, two count for a moment: it must be little beside all of them.
	const times, value = 200, 10_000
	for range times {
		if _, err := m.Client().Put(t.Context(), "/a", strings.Repeat("x", value)); err != nil {
			t.Fatal(err)
		}
	}
	m.etcd.Server.Backend().ForceCommit() // a size is that of the last commit
	after := m.Usage()
	if n := after.Writes - before.Writes; n < times || n > times+5 { // etcd may have written something of its own
		t.Errorf("%d writes, want %d", n, times)
	}
	if grown := after.InUse - before.InUse; grown < times*value || grown > times*value*11/10 || after.File < after.InUse {
		t.Errorf("grown by %d bytes to %d of %d, want a little more than %d", grown, after.InUse, after.File, times*value)
	}
}
