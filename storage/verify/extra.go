package verify

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/manifest"
)

// extra looks for parts that the manifest does not name: who reads the folder by a pattern would read them too. Files of
// other kinds and hidden ones are nobody's concern here, and a folder below with a manifest of its own is another output.
func (c *checker) extra(ctx context.Context) error {
	named := map[string]bool{}
	for p := range c.m.All() {
		named[p.Name] = true
	}
	// A manifest may come in the listing behind parts that it stands for: what is found waits until all is listed. Those of
	// millrace sort before their parts, so little waits.
	found, others := map[string]int64{}, map[string]bool{}
	folder := c.url + "/"
	err := c.store.List(ctx, folder, func(o storage.Info) bool {
		name := strings.TrimPrefix(o.URL, folder)
		switch {
		case path.Base(name) == manifest.Name && name != manifest.Name:
			others[path.Dir(name)] = true
		case path.Ext(name) == ".arrow" && !named[name] && !hidden(name) && !inside(name, others):
			found[name] = o.Size
		}
		return true
	})
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	for name, size := range found {
		if !inside(name, others) {
			c.add(Extra, name, fmt.Sprintf("a file of %d bytes lies here that the manifest does not name: readers of *.arrow would read it too", size))
		}
	}
	return nil
}

// hidden says whether a name, or a folder that it lies in, is one that readers leave out: it begins with a dot, or with a line
// as that of a chain's stages does.
func hidden(name string) bool {
	for segment := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(segment, ".") || strings.HasPrefix(segment, "_") {
			return true
		}
	}
	return false
}

// inside says whether a name lies in one of folders.
func inside(name string, folders map[string]bool) bool {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if folders[dir] {
			return true
		}
	}
	return false
}
