package input

import (
	"fmt"
	"runtime"
	"testing"
)

// Memory that was not cleared is as long as asked for, cannot be appended to in place, and is nobody else's, also after the
// garbage collector has been there.
func TestFreshIsLikeCleared(t *testing.T) {
	var kept [][]byte
	for _, n := range []int{0, 1, 2, 100, leastFresh - 1, leastFresh, leastFresh + 1, 1 << 20, 1<<20 + 77} {
		for range 3 {
			got, want := fresh(n), cleared(n)
			if len(got) != len(want) || cap(got) != n {
				t.Fatalf("fresh(%d) has %d bytes and room for %d", n, len(got), cap(got))
			}
			for i := range got {
				got[i] = byte(len(kept))
			}
			kept = append(kept, got)
			runtime.GC()
		}
	}
	for k, b := range kept {
		for i := range b {
			if b[i] != byte(k) {
				t.Fatalf("slice %d of %d bytes: byte %d was overwritten", k, len(b), i)
			}
		}
	}
}

func BenchmarkFresh(b *testing.B) {
	for name, f := range map[string]func(int) []byte{"fresh": fresh, "cleared": cleared} {
		for _, n := range []int{leastFresh, 64 << 10, 1 << 20} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				b.SetBytes(int64(n))
				b.ReportAllocs()
				for b.Loop() {
					f(n)
				}
			})
		}
	}
}
