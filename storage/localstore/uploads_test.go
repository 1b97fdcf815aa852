package localstore

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/storage"
)

// files lists the names in a folder.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// begin starts an upload of parts, which come in the order given.
func begin(t *testing.T, b *Backend, key string, parts map[int]string, order ...int) string {
	t.Helper()
	id, err := b.Uploads().Create(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range order {
		if _, err := b.Uploads().Part(t.Context(), key, id, n, []byte(parts[n])); err != nil {
			t.Fatal(err)
		}
	}
	return id
}

func partsOf(t *testing.T, b *Backend, key, id string) []storage.Part {
	t.Helper()
	var parts []storage.Part
	if err := b.Uploads().List(t.Context(), key, id, func(p storage.Part) bool { parts = append(parts, p); return true }); err != nil {
		t.Fatal(err)
	}
	return parts
}

func content(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// Any process can complete an upload that another one wrote; what remains is the object alone. Parts in order become the
// object by a rename: it is the very file they were written to.
func TestUploadSurvivesRestart(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	writer := New(Options{Root: root})
	parts := map[int]string{1: "one,", 2: "two,", 3: "three"}
	id := begin(t, writer, "out/part", parts, 1, 2, 3)
	if err := writer.Uploads().(storage.Sealer).Seal(t.Context(), "out/part", id); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(filepath.Join(root, "out", ".part."+id+".pending"))
	if err != nil {
		t.Fatal(err)
	}
	master := New(Options{Root: root})
	if _, err := master.Uploads().Complete(t.Context(), "out/part", id, partsOf(t, master, "out/part", id)); err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(filepath.Join(root, "out/part"))
	if err != nil || !os.SameFile(before, after) {
		t.Errorf("the object is another file than the upload was (%v)", err)
	}
	if got := content(t, filepath.Join(root, "out/part")); got != "one,two,three" {
		t.Errorf("the object holds %q", got)
	}
	if got := names(t, filepath.Join(root, "out")); !slices.Equal(got, []string{"part"}) {
		t.Errorf("left are %q", got)
	}
}

// Parts out of order and parts written again at another size make the right object too, and leave nothing else.
func TestUploadRewritten(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	b := New(Options{Root: root, NoSync: true})
	id := begin(t, b, "k", map[int]string{1: "wrong and long", 2: "b", 3: "c"}, 3, 1, 2)
	if _, err := b.Uploads().Part(t.Context(), "k", id, 1, []byte("a")); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Uploads().Complete(t.Context(), "k", id, partsOf(t, b, "k", id)); err != nil {
		t.Fatal(err)
	}
	if got := content(t, filepath.Join(root, "k")); got != "abc" {
		t.Errorf("the object holds %q, want abc", got)
	}
	if got := names(t, root); !slices.Equal(got, []string{"k"}) {
		t.Errorf("left are %q", got)
	}
}

// What a crash leaves is harmless: bytes without a line in the log do not count, half a line is cut off by the next part,
// a log whose data was renamed already is cleared away by Abort and found by List until then.
func TestUploadAfterCrash(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	b := New(Options{Root: root, NoSync: true})
	id := begin(t, b, "k", map[int]string{1: "aa"}, 1)
	data, log := filepath.Join(root, ".k."+id+".pending"), filepath.Join(root, ".k."+id+".pending.parts")
	appendTo(t, data, "garbage of a part that was not finished")
	appendTo(t, log, "2 2 1000000000 half-a-li")
	if got := partsOf(t, b, "k", id); len(got) != 1 {
		t.Errorf("parts are %+v, want one", got)
	}
	if _, err := b.Uploads().Part(t.Context(), "k", id, 2, []byte("bb")); err != nil {
		t.Fatal(err)
	}
	parts := partsOf(t, b, "k", id)
	if _, err := b.Uploads().Complete(t.Context(), "k", id, parts); err != nil {
		t.Fatal(err)
	}
	if got := content(t, filepath.Join(root, "k")); got != "aabb" {
		t.Errorf("the object holds %q, want aabb", got)
	}

	id = begin(t, b, "k2", map[int]string{1: "x"}, 1)
	if err := os.Rename(filepath.Join(root, ".k2."+id+".pending"), filepath.Join(root, "k2")); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Uploads().Complete(t.Context(), "k2", id, nil); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("Complete after the rename = %v, want not found", err)
	}
	if got := partsOf(t, b, "", ""); len(got) != 1 || got[0].Key != "k2" || got[0].ID != id {
		t.Errorf("uploads are %+v, want the log that is left", got)
	}
	if err := b.Uploads().Abort(t.Context(), "k2", id); err != nil {
		t.Fatal(err)
	}
	if got := names(t, root); !slices.Equal(got, []string{"k", "k2"}) {
		t.Errorf("left are %q", got)
	}
}

func appendTo(t *testing.T, name, text string) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = io.WriteString(f, text)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// An upload whose bytes were lost (a disk that forgot them) is never completed.
func TestUploadTruncated(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	b := New(Options{Root: root, NoSync: true})
	id := begin(t, b, "k", map[int]string{1: "aaaa"}, 1)
	if err := os.Truncate(filepath.Join(root, ".k."+id+".pending"), 2); err != nil {
		t.Fatal(err)
	}
	_, err := b.Uploads().Complete(t.Context(), "k", id, partsOf(t, b, "k", id))
	if !errors.Is(err, storage.ErrPendingLost) {
		t.Errorf("Complete = %v, want: pending upload lost", err)
	}
	if got := list(t, b, ""); len(got) != 0 {
		t.Errorf("visible are %q", got)
	}
	_, err = b.Uploads().Complete(t.Context(), "k", id, []storage.Part{{Number: 1, ETag: "other"}})
	if !errors.Is(err, storage.ErrPendingLost) {
		t.Errorf("Complete with another part = %v, want: pending upload lost", err)
	}
}

// Two processes that complete one upload at the same time make one whole object, whether its parts lie in order or not;
// the one that comes late finds no upload, or the same object.
func TestCompleteRaced(t *testing.T) {
	t.Parallel()
	for _, order := range [][]int{{1, 2}, {2, 1}} {
		for range 20 {
			root := t.TempDir()
			writer := New(Options{Root: root, NoSync: true})
			id := begin(t, writer, "k", map[int]string{1: strings.Repeat("a", 5000), 2: strings.Repeat("b", 5000)}, order...)
			parts := partsOf(t, writer, "k", id)
			var wg sync.WaitGroup
			var done atomic.Int32
			for range 4 {
				wg.Go(func() {
					master := New(Options{Root: root, NoSync: true})
					_, err := master.Uploads().Complete(t.Context(), "k", id, parts)
					if err == nil {
						done.Add(1)
					} else if !errors.Is(err, storage.ErrNotFound) {
						t.Errorf("Complete: %v", err)
					}
				})
			}
			wg.Wait()
			if got := content(t, filepath.Join(root, "k")); done.Load() == 0 || got != strings.Repeat("a", 5000)+strings.Repeat("b", 5000) {
				t.Fatalf("order %v: %d completed it, the object is %d bytes", order, done.Load(), len(got))
			}
			if got := names(t, root); !slices.Equal(got, []string{"k"}) {
				t.Fatalf("order %v: left are %q", order, got)
			}
		}
	}
}

// A process that dies while it begins an upload, or a power failure, leaves a log without a whole first line. That must not keep
// anybody from listing and aborting uploads, this one among them, and it is no upload otherwise.
func TestTornLog(t *testing.T) {
	t.Parallel()
	whole := header(time.Now(), "part")
	for _, base := range []string{"part", strings.Repeat("p", 230)} {
		for _, text := range []string{"", "millrace-up", strings.TrimSuffix(whole, "\n"), strings.Repeat("\x00", len(whole))} {
			for _, data := range []bool{false, true} {
				root := t.TempDir()
				b := New(Options{Root: root, NoSync: true})
				key, id := "out/"+base, newID()
				other := begin(t, b, "out/qart", map[int]string{1: "x"}, 1)
				for suffix, content := range map[string]string{partsSuffix: text, pendingSuffix: "y"} {
					if !data && suffix == pendingSuffix {
						continue
					}
					if err := os.WriteFile(hiddenName(filepath.Join(root, key), id, suffix), []byte(content), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				listed := partsOf(t, b, "out/", "")
				if len(listed) != 2 || listed[0].ID != id || !strings.HasPrefix(key, listed[0].Key) || time.Since(listed[0].Begun) > time.Minute || listed[1].ID != other {
					t.Fatalf("log %q: uploads are %+v", text, listed)
				}
				_, err := b.Uploads().Part(t.Context(), key, id, 1, []byte("y"))
				_, completed := b.Uploads().Complete(t.Context(), key, id, nil)
				parts := b.Uploads().List(t.Context(), key, id, func(storage.Part) bool { return true })
				for _, err := range []error{err, completed, parts} {
					if !errors.Is(err, storage.ErrNotFound) {
						t.Errorf("log %q, data %v: %v, want not found", text, data, err)
					}
				}
				if err := b.Uploads().Abort(t.Context(), listed[0].Key, id); err != nil {
					t.Error(err)
				}
				if got := names(t, filepath.Join(root, "out")); len(got) != 2 || len(partsOf(t, b, "out/", "")) != 1 {
					t.Errorf("log %q, data %v: left are %q", text, data, got)
				}
			}
		}
	}
}

// Ids of elsewhere are no paths, and uploads of names that are cut alike are told apart.
func TestUploadForeignIDs(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	b := New(Options{Root: root, NoSync: true})
	write(t, root, "victim")
	for _, id := range []string{"../victim", strings.Repeat("a", 31) + "/", strings.Repeat("A", 32), "x"} {
		if err := b.Uploads().Abort(t.Context(), "k", id); err != nil {
			t.Errorf("Abort(%q) = %v", id, err)
		}
		if _, err := b.Uploads().Part(t.Context(), "k", id, 1, nil); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("Part(%q) = %v, want not found", id, err)
		}
	}
	if got := names(t, root); !slices.Equal(got, []string{"victim"}) {
		t.Errorf("left are %q", got)
	}
	long := strings.Repeat("n", 210)
	id := begin(t, b, long+"1", map[int]string{1: "x"}, 1)
	if _, err := b.Uploads().Part(t.Context(), long+"2", id, 1, nil); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("Part of another name cut alike = %v, want not found", err)
	}
}

// No hostile log makes the parser fail otherwise than by an error, and what it takes is in order and within bounds.
func FuzzParseLog(f *testing.F) {
	valid := "millrace-upload 1 1700000000000000000 \"part\"\n"
	for _, s := range []string{"", valid, valid + "1 0 5 abc\n2 5 6 def\n", valid + "2 0 5 x\n1 5 1 y\n1 6 2 z\n", valid + "1 0 5 ab", valid + "-1 0 5 x\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := parseLog(data)
		if err != nil {
			return
		}
		if l.bytes > int64(len(data)) {
			t.Fatalf("%d whole bytes of %d", l.bytes, len(data))
		}
		for i, e := range l.parts {
			if e.number < 1 || e.off < 0 || e.size < 0 || e.off+e.size > l.end || i > 0 && e.number <= l.parts[i-1].number {
				t.Fatalf("part %+v of %+v", e, l.parts)
			}
		}
		again, err := parseLog(data[:l.bytes])
		if err != nil || !slices.Equal(again.parts, l.parts) || again.base != l.base {
			t.Fatalf("the whole lines alone are %+v, %v; want %+v", again, err, l)
		}
		if !bytes.HasPrefix(data, []byte(logMagic)) {
			t.Fatal("a log without its magic")
		}
	})
}
