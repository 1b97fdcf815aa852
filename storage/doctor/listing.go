package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/storage"
)

const (
	lostListing = "A job over a folder leaves out objects, or fails on ones that are gone; an output's leftovers are not found."
	doListing   = "Use another server, or a newer release of this one; or name a job's inputs one by one."
)

var listChecks = []check{
	{name: "listing after writes", lost: lostListing, do: doListing, run: (*exam).listing},
	{name: "listing after removals", lost: lostListing, do: doListing, run: (*exam).listingRemoved},
	{
		name: "listing in order", minor: true, run: (*exam).listingOrder,
		lost: "A listing that breaks off cannot be resumed: it fails.",
		do:   "Run the job again when that happens.",
	},
	{
		name: "unusual names", minor: true, run: (*exam).unusual,
		lost: "Inputs whose names have such characters cannot be read, or are read under another name.",
		do:   "Give inputs names of letters, digits, '-', '_', '.' and '/' only.",
	},
}

// list lists the names below a folder of the examination, or that begin so.
func (e *exam) list(ctx context.Context, prefix string) ([]string, error) {
	var names []string
	err := e.store.List(ctx, e.url(prefix), func(i storage.Info) bool {
		names = append(names, strings.TrimPrefix(i.URL, e.folder))
		return true
	})
	return names, err
}

// many is the name of the nth of many objects. They lie in some folders, since a listing by level counts these as well.
func many(n int) string { return fmt.Sprintf("many/%02d/object-%05d", n%20, n) }

// each calls do for the numbers below n, some at a time.
func each(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for i := range n {
		if gctx.Err() != nil {
			break
		}
		g.Go(func() error { return do(gctx, i) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// compare says what is wrong with a listing. The order does not matter.
func compare(what string, got, want []string) error {
	got, want = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
	for _, name := range got {
		if _, found := slices.BinarySearch(want, name); !found {
			return faultf("%s: %s is listed and is not there", what, name)
		}
	}
	for _, name := range want {
		if _, found := slices.BinarySearch(got, name); !found {
			return faultf("%s: %s is there and is not listed; %d of %d are", what, name, len(got), len(want))
		}
	}
	if len(got) != len(want) {
		return faultf("%s: %d names for %d objects: some are listed twice", what, len(got), len(want))
	}
	return nil
}

// listing: what was just written is listed at once, all of it, over pages; by prefix, and by level.
func (e *exam) listing(ctx context.Context) (string, error) {
	var names []string
	for i := range e.o.Objects {
		names = append(names, many(i))
	}
	err := each(ctx, len(names), func(ctx context.Context, i int) error {
		return e.store.Put(ctx, e.url(names[i]), []byte(names[i]), false)
	})
	if err != nil {
		return "", err
	}
	sizes := true
	err = e.store.List(ctx, e.url("many/"), func(i storage.Info) bool {
		sizes = sizes && i.Size == int64(len(many(0)))
		return true
	})
	if err == nil && !sizes {
		err = faultf("the listing shows other sizes than the objects have")
	}
	if err != nil {
		return "", err
	}
	for _, prefix := range []string{"many/", "many/0", "many/07/", "many/07/object-0002", "many/nothing/"} {
		got, err := e.list(ctx, prefix)
		if err == nil {
			want := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !strings.HasPrefix(name, prefix) })
			err = compare("below "+prefix, got, want)
		}
		if err != nil {
			return "", err
		}
	}
	levels, err := e.level(ctx, "many/")
	if err == nil {
		var want []string
		for i := range min(20, e.o.Objects) {
			want = append(want, fmt.Sprintf("many/%02d/", i))
		}
		err = compare("folders of many/", levels, want)
	}
	return fmt.Sprintf("%d objects were listed as soon as they were written, each once; by prefix and by folder too", len(names)), err
}

// level lists one level below a folder. The Store lists so only inputs, where it leaves names out.
func (e *exam) level(ctx context.Context, prefix string) (names []string, err error) {
	for try := 1; ; try++ {
		names = nil
		err = e.traces.List(ctx, e.key+prefix, "/", func(o storage.Object) bool {
			names = append(names, strings.TrimPrefix(o.Key, e.key))
			return true
		})
		if err == nil || !storage.IsTransient(err) || try == attempts || ctx.Err() != nil {
			return names, err
		}
	}
}

// listingRemoved: what was just removed is listed no more.
func (e *exam) listingRemoved(ctx context.Context) (string, error) {
	got, err := e.list(ctx, "many/")
	if err != nil {
		return "", err
	}
	var gone, want []string
	for i, name := range slices.Sorted(slices.Values(got)) {
		if i%3 == 0 {
			gone = append(gone, name)
		} else {
			want = append(want, name)
		}
	}
	if len(gone) == 0 {
		return "", errors.New("there are no objects to remove: see the check before")
	}
	err = each(ctx, len(gone), func(ctx context.Context, i int) error { return e.store.Remove(ctx, e.url(gone[i])) })
	if err != nil {
		return "", err
	}
	if got, err = e.list(ctx, "many/"); err == nil {
		err = compare("after removals", got, want)
	}
	if err == nil {
		err = e.absent(ctx, e.url(gone[0]))
	}
	return fmt.Sprintf("%d objects were listed no more as soon as they were removed", len(gone)), err
}

// listingOrder: names come in the order of their bytes.
func (e *exam) listingOrder(ctx context.Context) (string, error) {
	for _, name := range []string{"order/a", "order/a-b", "order/a.b", "order/a/b", "order/a0", "order/A", "order/é"} {
		if name == "order/a" { // some servers keep a/b as a file in a folder, where a cannot be an object
			continue
		}
		if err := e.store.Put(ctx, e.url(name), nil, false); err != nil {
			return "", err
		}
	}
	for _, prefix := range []string{"order/", "many/"} {
		got, err := e.list(ctx, prefix)
		if err != nil {
			return "", err
		}
		for i := range got[min(1, len(got)):] {
			if got[i] >= got[i+1] {
				return "", faultf("%s is listed before %s", got[i], got[i+1])
			}
		}
	}
	return "names come in the order of their bytes", nil
}

// unusualNames are names that people's files have and that servers and proxies stumble over.
var unusualNames = []string{
	"a b", "a+b", "a%20b", "100%", "a&b=c", "a#b", "a?b", "a'b\"c", "(a)[b]{c}", "a~b!c$d", "a,b;c:d@e", "\u00e9t\u00e9", "e\u0301", "日本語", "🙂", ".hidden", "a..b",
	"long-" + strings.Repeat("n", 180),
}

// unusual: names of all kinds are written, listed and read as they are.
func (e *exam) unusual(ctx context.Context) (string, error) {
	var want []string
	for _, name := range unusualNames {
		name = "names/" + name
		if err := e.store.Put(ctx, e.url(name), []byte(name), false); err != nil {
			return "", fmt.Errorf("the name %q: %w", name, err)
		}
		want = append(want, name)
	}
	for _, name := range want {
		if err := e.holds(ctx, e.url(name), []byte(name)); err != nil {
			return "", orFault(err, fmt.Sprintf("the object %q is not read as it was written", name))
		}
	}
	got, err := e.list(ctx, "names/")
	if err == nil {
		err = compare("names", got, want)
	}
	return fmt.Sprintf("%d names with blanks, signs and letters of other scripts came back as they are", len(want)), err
}
