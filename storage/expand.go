package storage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
)

// Success is the name of the manifest that marks a finished output. Folders are read without it.
const Success = "_SUCCESS"

// flatPrefixes is up to how many sub-folders of a listed folder are listed in parallel. Beyond it, one stream of pages of
// 1,000 keys costs a bucket fewer requests.
const flatPrefixes = 1000

// maxSiblings bounds the search for what a missing input may have meant.
const maxSiblings = 10_000

// Listed is one object of a job's input.
type Listed struct {
	URL  string
	Size int64
	ETag string
}

// Expand lists what inputs name: single objects, folders ("dir" or "dir/": all that lies below) and globs (doublestar: *, ?,
// [a-z], {a,b}, ** over folders). The result is sorted by URL, each object once.
//
// Names that begin with "." and _SUCCESS are left out of folders and of what a glob's wildcards match; naming them, or a
// glob segment that begins as they do, reads them. An input that is an object's exact name is that object, whatever
// characters it holds. A glob without ** that matches a folder means the folder, as if a shell had expanded it.
//
// Errors wrap ErrNotFound (no such input, a glob that matches nothing), ErrDenied, ErrNoBucket, ErrUnreachable, ErrBadURL.
func (s *Store) Expand(ctx context.Context, inputs []string) ([]Listed, error) {
	return s.ExpandWith(ctx, inputs, ExpandOptions{})
}

// ExpandOptions change what Expand lists.
type ExpandOptions struct {
	// Folder is asked about each folder that an input names as a whole, or that a glob matches, before it is listed. If it says
	// so, what it returns takes the place of the listing. It is called from several goroutines at once. Default: none.
	Folder func(ctx context.Context, url string) (found []Listed, instead bool, err error)
}

// ExpandWith is Expand with options.
func (s *Store) ExpandWith(ctx context.Context, inputs []string, o ExpandOptions) ([]Listed, error) {
	if len(inputs) == 0 {
		return nil, fmt.Errorf("list inputs: %w: no input is named", ErrNotFound)
	}
	e := &expansion{s: s, o: o, slots: make(chan struct{}, s.o.Parallel)}
	missing := make([]error, len(inputs)) // the first one missing is named, whichever call came back first
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(s.o.Parallel)
	for i, input := range inputs {
		group.Go(func() error {
			err := e.input(gctx, input)
			if errors.Is(err, ErrNotFound) {
				missing[i] = err
				return nil
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if err := firstMissing(missing); err != nil {
		return nil, err
	}
	return sorted(e.found), nil
}

// firstMissing names the first input that is not there, and how many others are not.
func firstMissing(missing []error) error {
	missing = slices.DeleteFunc(missing, func(err error) bool { return err == nil })
	switch len(missing) {
	case 0:
		return nil
	case 1:
		return missing[0]
	default:
		return fmt.Errorf("%w (and %d more inputs are missing)", missing[0], len(missing)-1)
	}
}

func sorted(found []Listed) []Listed {
	slices.SortFunc(found, func(a, b Listed) int { return cmp.Compare(a.URL, b.URL) })
	return slices.CompactFunc(found, func(a, b Listed) bool { return a.URL == b.URL })
}

// expansion gathers what the inputs of one Expand name.
type expansion struct {
	s *Store
	o ExpandOptions
	// slots bounds the calls under way in all: the groups that walk inputs, folders and globs nest, and each has a limit
	// of its own. It is held for one call, never while others are waited for.
	slots chan struct{}

	mu    sync.Mutex
	found []Listed
}

// list is Store.list within the bound of calls.
func (e *expansion) list(ctx context.Context, t target, prefix, delim string, skip func(string) bool, yield func(Object) bool) error {
	e.slots <- struct{}{}
	defer func() { <-e.slots }()
	return e.s.list(ctx, t, prefix, delim, skip, yield)
}

// stat is Store.stat within the bound of calls.
func (e *expansion) stat(ctx context.Context, t target) (Info, error) {
	e.slots <- struct{}{}
	defer func() { <-e.slots }()
	return e.s.stat(ctx, "input", t)
}

// add takes the objects of one listing at once, so that parallel listings do not meet at each object.
func (e *expansion) add(found []Listed) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.found = append(e.found, found...)
}

// input expands one input. ErrNotFound means that it names nothing.
func (e *expansion) input(ctx context.Context, input string) error {
	t, err := e.s.open(ctx, "input", input)
	if err != nil {
		return err
	}
	if t.Key != "" && !strings.HasSuffix(t.Key, "/") {
		info, err := e.stat(ctx, t)
		if err == nil {
			e.add([]Listed{{info.URL, info.Size, info.ETag}})
			return nil
		}
		if !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	if hasMeta(t.Key) {
		return e.glob(ctx, t)
	}
	folder := t.Key
	if folder != "" && !strings.HasSuffix(folder, "/") {
		folder += "/"
	}
	n, err := e.folder(ctx, t, folder, isHidden)
	if err != nil || n > 0 {
		return err
	}
	return e.missing(ctx, t, folder)
}

// isHidden tells which names a folder is read without; folders come with their slash.
func isHidden(name string) bool { return strings.HasPrefix(name, ".") || name == Success }

// folder lists all that lies below a folder, or takes what stands for it, and tells how much it found.
func (e *expansion) folder(ctx context.Context, t target, folder string, skip func(string) bool) (int, error) {
	if e.o.Folder != nil {
		found, instead, err := e.o.Folder(ctx, t.at(folder))
		if err != nil || instead {
			e.add(found)
			return len(found), err
		}
	}
	if _, ok := t.b.(InputLister); ok { // it is parallel by itself
		return e.flat(ctx, t, folder, skip, nil)
	}
	found, folders, err := e.level(ctx, t, folder, skip)
	if err != nil {
		return 0, err
	}
	if len(folders) > flatPrefixes {
		return e.flat(ctx, t, folder, skip, nil)
	}
	e.add(found)
	counts := make([]int, len(folders))
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(e.s.o.Parallel)
	for i, sub := range folders {
		group.Go(func() (err error) {
			counts[i], err = e.flat(gctx, t, sub, skip, nil)
			return err
		})
	}
	err = group.Wait()
	total := len(found)
	for _, n := range counts {
		total += n
	}
	return total, err
}

// level lists one level below a prefix: its objects and its folders.
func (e *expansion) level(ctx context.Context, t target, prefix string, skip func(string) bool) (found []Listed, folders []string, err error) {
	err = e.list(ctx, t, prefix, "/", skip, func(o Object) bool {
		if strings.HasSuffix(o.Key, "/") {
			// S3 keeps markers for empty folders, objects whose key ends in a slash: they hold nothing.
			if o.Size < 0 {
				folders = append(folders, o.Key)
			}
			return true
		}
		found = append(found, Listed{t.at(o.Key), o.Size, o.ETag})
		return true
	})
	return found, folders, err
}

// flat lists everything below a prefix in one stream, except what match, if there is one, refuses.
func (e *expansion) flat(ctx context.Context, t target, prefix string, skip func(string) bool, match func(key string) bool) (int, error) {
	var found []Listed
	err := e.list(ctx, t, prefix, "", skip, func(o Object) bool {
		if !strings.HasSuffix(o.Key, "/") && (match == nil || match(o.Key)) {
			found = append(found, Listed{t.at(o.Key), o.Size, o.ETag})
		}
		return true
	})
	e.add(found)
	return len(found), err
}

// namesBelow gives the names in key behind the last slash of prefix, folders with their slash.
func namesBelow(key, prefix string) iter.Seq[string] {
	return strings.SplitAfterSeq(key[strings.LastIndexByte(prefix, '/')+1:], "/")
}

// missing says why an input that is neither an object nor a folder with objects is not there, and what may be meant.
func (e *expansion) missing(ctx context.Context, t target, folder string) error {
	text := "no such object, nor a folder with objects in it"
	best, there, err := e.sibling(ctx, t, folder)
	switch {
	case errors.Is(err, ErrNoBucket) || isCancelled(err):
		return err
	case err != nil: // the parent is no help: the input is missing all the same
	case there:
		if text, err = e.emptiness(ctx, t, folder); err != nil {
			return err
		}
	case best != "":
		text += "; did you mean " + t.at(best) + "?"
	}
	return fail("input", t.String(), 1, fmt.Errorf("%w: %s", ErrNotFound, text))
}

// sibling looks among the neighbours of a missing folder for the folder itself, which is there but empty then, and for the
// name that is the most like it.
func (e *expansion) sibling(ctx context.Context, t target, folder string) (best string, there bool, err error) {
	if folder == "" {
		return "", true, nil // the bucket answered
	}
	name, parent := Base(folder), strings.TrimSuffix(folder, "/")
	parent = parent[:strings.LastIndexByte(parent, '/')+1]
	distance, seen := maxDistance(name)+1, 0
	err = e.list(ctx, t, parent, "/", nil, func(o Object) bool {
		there = there || o.Key == folder
		if d := editDistance(name, Base(o.Key)); d < distance {
			best, distance = o.Key, d
		}
		seen++
		return seen < maxSiblings
	})
	return best, there, err
}

// emptiness says in which way a folder gives no input.
func (e *expansion) emptiness(ctx context.Context, t target, folder string) (string, error) {
	empty := true
	err := e.list(ctx, t, folder, "", nil, func(Object) bool { empty = false; return false })
	if empty || err != nil {
		return "the folder is empty", err
	}
	return fmt.Sprintf("the folder holds only names that begin with \".\" or are %s, which are left out", Success), nil
}

// maxDistance is how many letters a name may differ in to be suggested for another.
func maxDistance(name string) int { return min(2, len(name)/3) }

// editDistance is the Levenshtein distance of two names in bytes. Source: Wagner and Fischer, 1974.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
