package storagetest

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/millrace/millrace/storage"
)

func (s *suite) create(key string) string {
	s.Helper()
	id, err := s.b.Uploads().Create(s.ctx, key)
	if err != nil || id == "" {
		s.Fatalf("Create(%q) = %q, %v", key, id, err)
	}
	return id
}

func (s *suite) part(key, id string, n int, body []byte) {
	s.Helper()
	if etag, err := s.b.Uploads().Part(s.ctx, key, id, n, body); err != nil || etag == "" {
		s.Fatalf("Part(%q, %d) = %q, %v", key, n, etag, err)
	}
}

func (s *suite) parts(key, id string) []storage.Part {
	s.Helper()
	var parts []storage.Part
	err := s.b.Uploads().List(s.ctx, key, id, func(p storage.Part) bool {
		parts = append(parts, p)
		return true
	})
	if err != nil {
		s.Fatalf("Uploads.List(%q, %q): %v", key, id, err)
	}
	return parts
}

func (s *suite) complete(key, id string) storage.Object {
	s.Helper()
	o, err := s.b.Uploads().Complete(s.ctx, key, id, s.parts(key, id))
	if err != nil {
		s.Fatalf("Complete(%q): %v", key, err)
	}
	return o
}

// upload: parts become one object, invisible until it is complete; its parts and ETag are as foretold.
func upload(s *suite) {
	first, second := random(2, minPart), random(3, 1000)
	id := s.create("dir/u")
	s.part("dir/u", id, 1, first)
	s.part("dir/u", id, 2, second)
	s.wantAbsent("dir/u")
	if got := s.keys("", ""); len(got) != 0 {
		s.Errorf("a pending upload shows as %q", got)
	}
	parts := s.parts("dir/u", id)
	if len(parts) != 2 || parts[0].Number != 1 || parts[1].Number != 2 || parts[0].Size != minPart || parts[1].Size != 1000 {
		s.Fatalf("parts are %+v, want 1 of %d bytes and 2 of 1000", parts, minPart)
	}
	o := s.complete("dir/u", id)
	s.wantObject("dir/u", append(first, second...))
	if _, read := s.read("dir/u", 0, 0, ""); read.ETag != o.ETag {
		s.Errorf("completed as ETag %q, read as %q", o.ETag, read.ETag)
	}
	if teller, ok := s.b.Uploads().(storage.PartsETag); ok {
		if told := teller.PartsETag(parts); told != "" && told != o.ETag {
			s.Errorf("foretold ETag %q, got %q", told, o.ETag)
		}
	}
	if got := s.keys("", ""); !slices.Equal(got, []string{"dir/u"}) {
		s.Errorf("left are %q, want dir/u", got)
	}
}

// uploadDisorder: parts count by number, whenever they come; a part written again replaces itself, at another size too.
func uploadDisorder(s *suite) {
	one, two, three := random(4, minPart+7), random(5, minPart), random(6, 99)
	id := s.create("u")
	s.part("u", id, 3, three)
	s.part("u", id, 1, random(7, minPart))
	s.part("u", id, 2, two)
	s.part("u", id, 1, one)
	if parts := s.parts("u", id); len(parts) != 3 || parts[0].Size != int64(len(one)) {
		s.Errorf("parts are %+v, want three, the first of %d bytes", parts, len(one))
	}
	s.complete("u", id)
	s.wantObject("u", slices.Concat(one, two, three))
}

// uploadTwice: a second Complete finds no upload and leaves the object alone.
func uploadTwice(s *suite) {
	id := s.create("u")
	s.part("u", id, 1, []byte("body"))
	parts := s.parts("u", id)
	s.complete("u", id)
	_, err := s.b.Uploads().Complete(s.ctx, "u", id, parts)
	if err != nil { // some servers remember the upload and repeat their answer, which is as good
		s.wantErr("second Complete", err, storage.ErrNotFound)
	}
	s.wantObject("u", []byte("body"))
	if err := s.b.Uploads().Abort(s.ctx, "u", id); err != nil {
		s.Errorf("Abort after Complete: %v", err)
	}
	s.wantObject("u", []byte("body"))
}

// uploadAborted: an aborted upload is gone, and aborting it again is no error.
func uploadAborted(s *suite) {
	id := s.create("d/u")
	s.part("d/u", id, 1, []byte("body"))
	parts := s.parts("d/u", id)
	for range 2 {
		if err := s.b.Uploads().Abort(s.ctx, "d/u", id); err != nil {
			s.Fatalf("Abort: %v", err)
		}
	}
	_, err := s.b.Uploads().Complete(s.ctx, "d/u", id, parts)
	s.wantErr("Complete after Abort", err, storage.ErrNotFound)
	_, err = s.b.Uploads().Part(s.ctx, "d/u", id, 2, []byte("late"))
	s.wantErr("Part after Abort", err, storage.ErrNotFound)
	err = s.b.Uploads().List(s.ctx, "d/u", id, func(storage.Part) bool { return true })
	s.wantErr("List after Abort", err, storage.ErrNotFound)
	s.wantAbsent("d/u")
	if left := s.parts("", ""); len(left) != 0 {
		s.Errorf("uploads left: %+v", left)
	}
}

// uploadReplaces: a completed upload replaces the object of its name, and not before.
func uploadReplaces(s *suite) {
	old := s.put("u", "old")
	id := s.create("u")
	s.part("u", id, 1, []byte("new content"))
	s.wantObject("u", []byte("old"))
	if o := s.complete("u", id); o.ETag == old.ETag {
		s.Errorf("the ETag %q did not change", o.ETag)
	}
	s.wantObject("u", []byte("new content"))
}

// uploadEmpty: one part of no bytes is an empty object.
func uploadEmpty(s *suite) {
	id := s.create("u")
	s.part("u", id, 1, nil)
	if parts := s.parts("u", id); len(parts) != 1 || parts[0].Size != 0 {
		s.Errorf("parts are %+v, want one of no bytes", parts)
	}
	s.complete("u", id)
	s.wantObject("u", nil)
}

// uploadsListed: pending uploads are found by the prefix of their keys, with their ids and the time they began.
func uploadsListed(s *suite) {
	before := time.Now().Add(-time.Hour)
	ids := map[string]string{}
	for _, key := range []string{"a/x", "a/y/z", "b"} {
		ids[key] = s.create(key)
		s.part(key, ids[key], 1, []byte("1"))
	}
	for prefix, want := range map[string][]string{"": {"a/x", "a/y/z", "b"}, "a/": {"a/x", "a/y/z"}, "a/y": {"a/y/z"}, "c": nil} {
		var got []string
		for _, u := range s.parts(prefix, "") {
			got = append(got, u.Key)
			if u.ID != ids[u.Key] || u.Number != 0 || u.Begun.Before(before) {
				s.Errorf("upload listed as %+v, want id %q, number 0 and a time of now", u, ids[u.Key])
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			s.Errorf("uploads below %q: %q, want %q", prefix, got, want)
		}
	}
	for key, id := range ids {
		s.complete(key, id)
	}
	if left := s.parts("", ""); len(left) != 0 {
		s.Errorf("completed uploads are still listed: %+v", left)
	}
}

// uploadsSideBySide: uploads to one key do not touch each other; the last one completed stands, an aborted one leaves the
// others alone.
func uploadsSideBySide(s *suite) {
	const n = 6
	ids := make([]string, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			id, err := s.b.Uploads().Create(s.ctx, "d/one")
			if err == nil {
				_, err = s.b.Uploads().Part(s.ctx, "d/one", id, 1, bytes.Repeat([]byte{byte('a' + i)}, 1000+i))
			}
			if err != nil {
				s.Errorf("upload %d: %v", i, err)
			}
			ids[i] = id
		})
	}
	wg.Wait()
	if s.Failed() {
		return
	}
	if err := s.b.Uploads().Abort(s.ctx, "d/one", ids[0]); err != nil {
		s.Fatal(err)
	}
	for _, i := range []int{4, 2, 5, 1, 3} {
		s.complete("d/one", ids[i])
		s.wantObject("d/one", bytes.Repeat([]byte{byte('a' + i)}, 1000+i))
	}
}

// uploadUnknown: what is asked of an upload that never was is ErrNotFound, except to forget it.
func uploadUnknown(s *suite) {
	id := s.create("u")
	if err := s.b.Uploads().Abort(s.ctx, "u", id); err != nil {
		s.Fatal(err)
	}
	other := s.create("other")
	err := s.b.Uploads().List(s.ctx, "never", id, func(storage.Part) bool { return true })
	s.wantErr("List of parts", err, storage.ErrNotFound)
	_, err = s.b.Uploads().Part(s.ctx, "u", id, 1, []byte("x"))
	s.wantErr("Part", err, storage.ErrNotFound)
	if got := s.parts("other", other); len(got) != 0 {
		s.Errorf("a new upload has parts %+v", got)
	}
}

// uploadStrangeNames: keys of uploads are plain text too.
func uploadStrangeNames(s *suite) {
	keys := strange()
	for i, key := range keys {
		id := s.create(key)
		s.part(key, id, 1, fmt.Append(nil, i))
		if found := s.parts(key, ""); len(found) != 1 || found[0].Key != key {
			s.Errorf("uploads below %q are %+v", key, found)
		}
		s.complete(key, id)
		s.wantObject(key, fmt.Append(nil, i))
	}
}
