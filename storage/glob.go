package storage

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/bmatcuk/doublestar/v4"
	"golang.org/x/sync/errgroup"
)

// meta are the characters that make an input a glob.
const meta = `*?[{\`

func hasMeta(s string) bool { return strings.ContainsAny(s, meta) }

// glob expands a glob level by level: each segment without ** costs one listing of one level per folder that matched so
// far, so that s3://logs/*/2026/*.gz does not list all of the bucket. From a segment with ** on, all below is listed.
func (e *expansion) glob(ctx context.Context, t target) error {
	if !doublestar.ValidatePattern(t.Key) {
		return fail("input", t.String(), 1, fmt.Errorf("%w: the glob is not valid: see to its brackets and braces", ErrBadURL))
	}
	w := &globWalk{e: e, t: t}
	if err := w.walk(ctx, "", splitPattern(t.Key)); err != nil {
		return err
	}
	if w.count.Load() == 0 {
		return fail("input", t.String(), 1, fmt.Errorf("%w: the glob matches nothing", ErrNotFound))
	}
	return nil
}

// globWalk is the expansion of one glob.
type globWalk struct {
	e     *expansion
	t     target
	count atomic.Int64
}

// walk expands segs below base, a key without meaning for globs that is empty or ends in a slash.
func (w *globWalk) walk(ctx context.Context, base string, segs []string) error {
	for len(segs) > 1 && !hasMeta(segs[0]) {
		base += segs[0] + "/"
		segs = segs[1:]
	}
	if len(segs) == 1 && segs[0] == "" { // the glob ends in a slash: it means folders
		return w.folder(ctx, base)
	}
	if len(segs) == 1 && !hasMeta(segs[0]) {
		return w.named(ctx, base+segs[0])
	}
	if strings.Contains(segs[0], "**") || strings.Contains(segs[0], "/") {
		return w.deep(ctx, base, segs)
	}
	return w.level(ctx, base, segs)
}

// named ends a glob whose last segment is a plain name, as in */data.
func (w *globWalk) named(ctx context.Context, key string) error {
	skip := func(name string) bool { return strings.TrimSuffix(name, "/") != Base(key) }
	found, folders, err := w.e.level(ctx, w.t, key, skip)
	return w.take(ctx, found, folders, err)
}

// level expands a segment that stays within one level and goes on in the folders that match.
func (w *globWalk) level(ctx context.Context, base string, segs []string) error {
	skip := func(name string) bool {
		name = strings.TrimSuffix(name, "/")
		return hides(name, segs[:1]) || !doublestar.MatchUnvalidated(segs[0], name)
	}
	found, folders, err := w.e.level(ctx, w.t, base+literalPrefix(segs[0]), skip)
	if len(segs) == 1 {
		return w.take(ctx, found, folders, err)
	}
	if err != nil {
		return err
	}
	return w.each(ctx, folders, func(ctx context.Context, folder string) error { return w.walk(ctx, folder, segs[1:]) })
}

// take adds the objects and whole folders that a glob matched.
func (w *globWalk) take(ctx context.Context, found []Listed, folders []string, err error) error {
	if err != nil {
		return err
	}
	w.e.add(found)
	w.count.Add(int64(len(found)))
	return w.each(ctx, folders, w.folder)
}

func (w *globWalk) folder(ctx context.Context, folder string) error {
	n, err := w.e.folder(ctx, w.t, folder, isHidden)
	w.count.Add(int64(n))
	return err
}

// deep matches all keys below base with the rest of the glob.
func (w *globWalk) deep(ctx context.Context, base string, segs []string) error {
	pattern := strings.Join(segs, "/")
	skip := func(name string) bool { return hides(strings.TrimSuffix(name, "/"), segs) }
	match := func(key string) bool { return doublestar.MatchUnvalidated(pattern, key[len(base):]) }
	n, err := w.e.flat(ctx, w.t, base+literalPrefix(segs[0]), skip, match)
	w.count.Add(int64(n))
	return err
}

// each walks folders in parallel.
func (w *globWalk) each(ctx context.Context, folders []string, walk func(context.Context, string) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(w.e.s.o.Parallel)
	for _, folder := range folders {
		group.Go(func() error { return walk(ctx, folder) })
	}
	return group.Wait()
}

// hides tells whether a name is left out although wildcards would match it: a hidden one, unless a segment asks for its
// kind by its first character.
func hides(name string, segs []string) bool {
	if !isHidden(name) {
		return false
	}
	for _, seg := range segs {
		for _, alt := range strings.Split(seg, "/") {
			if alt != "" && alt[0] == name[0] {
				return false
			}
		}
	}
	return true
}

// splitPattern splits a glob at the slashes that separate levels, not at those within braces or brackets.
func splitPattern(pattern string) []string {
	var segs []string
	start, braces, brackets := 0, 0, false
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; {
		case c == '\\':
			i++
		case c == '[':
			brackets = true
		case c == ']':
			brackets = false
		case c == '{' && !brackets:
			braces++
		case c == '}' && !brackets:
			braces--
		case c == '/' && braces == 0 && !brackets:
			segs = append(segs, pattern[start:i])
			start = i + 1
		}
	}
	return append(segs, pattern[start:])
}

// literalPrefix is what every match of a segment begins with.
func literalPrefix(seg string) string {
	return seg[:strings.IndexAny(seg, meta)]
}
