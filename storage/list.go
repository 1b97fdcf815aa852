package storage

import (
	"context"
	"time"
)

// List calls yield for every object whose URL begins with url, in the order of their URLs, until yield returns false. A
// folder is listed with its trailing slash. Nothing is left out.
func (s *Store) List(ctx context.Context, url string, yield func(Info) bool) error {
	t, err := s.open(ctx, "list", url)
	if err != nil {
		return err
	}
	return s.list(ctx, t, t.Key, "", nil, func(o Object) bool { return yield(t.info(o)) })
}

// list is Backend.List with retries: a listing that breaks off starts again and skips what it has yielded, which the
// order of keys allows; a server that lists in another order loses nothing, but its listings are not resumed. Attempts
// counts tries without progress. With skip it lists a job's inputs: names for which skip tells so are left out.
func (s *Store) list(ctx context.Context, t target, prefix, delim string, skip func(string) bool, yield func(Object) bool) error {
	last, tries, resumed, ordered := "", 0, false, true
	for {
		w := newWatch(ctx, s.o.IdleTimeout)
		err := listOnce(w.ctx, t.b, prefix, delim, skip, func(o Object) bool {
			w.pause()
			defer w.active()
			if resumed && o.Key <= last {
				return true
			}
			ordered = ordered && o.Key > last
			last, tries = o.Key, 0
			return yield(o)
		})
		err = stalled(ctx, w.ctx, s.o.IdleTimeout, err)
		w.close()
		if err == nil {
			return nil
		}
		tries++
		if ordered {
			err = s.next(ctx, tries, err)
		}
		if err != nil {
			return fail("list", t.at(prefix), tries, err)
		}
		resumed = true
	}
}

func listOnce(ctx context.Context, b Backend, prefix, delim string, skip func(string) bool, yield func(Object) bool) error {
	if skip == nil {
		return b.List(ctx, prefix, delim, yield)
	}
	if lister, ok := b.(InputLister); ok {
		return lister.ListInputs(ctx, prefix, delim, skip, yield)
	}
	return b.List(ctx, prefix, delim, func(o Object) bool {
		return skipped(o.Key, prefix, skip) || yield(o)
	})
}

// skipped tells whether a name below the last slash of prefix is one to leave out.
func skipped(key, prefix string, skip func(string) bool) bool {
	for name := range namesBelow(key, prefix) {
		if name != "" && skip(name) { // behind a folder's slash there is no name
			return true
		}
	}
	return false
}

// Uploads calls yield for every pending upload whose URL begins with prefixURL, until yield returns false.
func (s *Store) Uploads(ctx context.Context, prefixURL string, yield func(url, id string, begun time.Time) bool) error {
	t, err := s.open(ctx, "list uploads", prefixURL)
	if err != nil {
		return err
	}
	uploads, err := s.parts(ctx, "list uploads", t, "")
	if err != nil {
		return err
	}
	for _, u := range uploads {
		if !yield(t.at(u.Key), u.ID, u.Begun) {
			break
		}
	}
	return nil
}

// UploadParts tells what a pending upload of an object holds so far. The error wraps ErrNotFound if it is gone.
func (s *Store) UploadParts(ctx context.Context, url, id string) ([]Part, error) {
	t, err := s.object(ctx, "list parts", url)
	if err != nil {
		return nil, err
	}
	return s.parts(ctx, "list parts", t, id)
}

// Litter calls yield for the files below prefixURL that writes which were cut off left, and that nothing else lists: see
// Littered. Most kinds of storage have none.
func (s *Store) Litter(ctx context.Context, prefixURL string, yield func(Info) bool) error {
	t, err := s.open(ctx, "list litter", prefixURL)
	if err != nil {
		return err
	}
	b, ok := t.b.(Littered)
	if !ok {
		return nil
	}
	var found []Object
	err = s.do(ctx, "list litter", t.String(), func(ctx context.Context) error {
		found = nil
		return b.ListLitter(ctx, t.Key, func(o Object) bool {
			found = append(found, o)
			return true
		})
	})
	for _, o := range found {
		if err != nil || !yield(t.info(o)) {
			break
		}
	}
	return err
}

// parts gathers the parts of an upload, or with id "" the uploads, whole or not at all.
func (s *Store) parts(ctx context.Context, op string, t target, id string) ([]Part, error) {
	var parts []Part
	err := s.do(ctx, op, t.String(), func(ctx context.Context) error {
		parts = nil
		return t.b.Uploads().List(ctx, t.Key, id, func(p Part) bool {
			parts = append(parts, p)
			return true
		})
	})
	return parts, err
}
