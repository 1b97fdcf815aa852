//go:build unix

package python

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

// Many callers at once make an environment once; a failed attempt leaves nothing that the next one would take for whole.
func TestOnce(t *testing.T) {
	t.Parallel()
	home := filepath.Join(t.TempDir(), "deep", "env")
	broken := errors.New("no network")
	attempt := func(fail bool, made *atomic.Int32) error {
		return once(home, func() error {
			made.Add(1)
			if err := os.Mkdir(home, 0o777); err != nil {
				return err // the rest of an earlier attempt is still there
			}
			if fail {
				return broken
			}
			return nil
		})
	}
	var made atomic.Int32
	if err := attempt(true, &made); !errors.Is(err, broken) {
		t.Fatalf("error is %v: want %v", err, broken)
	}
	made.Store(0)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if err := attempt(false, &made); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if made.Load() != 1 {
		t.Errorf("made %d times: want once", made.Load())
	}
}

// Other requirements or another Python are another environment, and the parts cannot run into each other.
func TestDigest(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, parts := range [][]string{{"3.11", "a==1"}, {"3.12", "a==1"}, {"3.11", "a==2"}, {"3.11a", "==1"}} {
		seen[digest([]byte(parts[0]), []byte(parts[1]))] = true
	}
	if len(seen) != 4 {
		t.Errorf("%d digests of 4 environments", len(seen))
	}
}
