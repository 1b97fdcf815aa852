package leftovers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/manifest"
)

// The names by which millrace's own things are known, beside those of parts, which package manifest knows. Those of run folders and
// stages are the masters', that of doctor's folders is package doctor's.
var (
	runFolder    = regexp.MustCompile(`^\.millrace-([0-9a-f]{32}(\.[0-9]+)?)$`)
	doctorFolder = regexp.MustCompile(`^\.millrace-doctor-[0-9a-z]+$`)
	stageObject  = regexp.MustCompile(`^(.*/)_stages/[0-9]{3,}-[^/]+/([^/]+(/[^/]+)?)$`) // the output, and the name in the stage's
)

// scan is one look through a store.
type scan struct {
	store *storage.Store
	url   string // of the folder, ends in a slash
	local bool   // uploads are files that bear millrace's mark: all of them are its own
	o     Options

	folders map[string]*Item     // by URL
	others  []*Item              // uploads and temporary files
	success map[string]time.Time // when outputs were completed, by their folder with a slash
	foreign int
	seen    int // objects, to tell of progress
}

func newScan(st *storage.Store, url string, o Options) (*scan, error) {
	u, err := storage.ParseURL(url)
	if err != nil {
		return nil, err
	}
	if u.Key != "" && !strings.HasSuffix(u.Key, "/") {
		u.Key += "/"
	}
	return &scan{store: st, url: u.String(), local: u.Scheme == "file", o: o, folders: map[string]*Item{}, success: map[string]time.Time{}}, nil
}

// run looks for uploads first: what is completed meanwhile is not taken for two things.
func (s *scan) run(ctx context.Context) error {
	s.o.Progress("pending uploads")
	var uploads []*Item
	err := s.store.Uploads(ctx, s.url, func(url, id string, begun time.Time) bool {
		if i := s.upload(url, id, begun); i != nil {
			uploads = append(uploads, i)
		}
		return true
	})
	if err != nil {
		return err
	}
	if err := s.measure(ctx, uploads); err != nil {
		return err
	}
	for _, i := range uploads {
		if folder := s.own(i.URL); folder != nil {
			folder.add(i)
		} else {
			s.others = append(s.others, i)
		}
	}
	if err := s.store.List(ctx, s.url, func(o storage.Info) bool { s.object(o); return true }); err != nil && !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	s.o.Progress("temporary files")
	return s.store.Litter(ctx, s.url, func(o storage.Info) bool { s.litter(o); return true })
}

// upload makes an item of a pending upload, unless it is another program's.
func (s *scan) upload(url, id string, begun time.Time) *Item {
	if !s.local && !isPart(url) && s.own(url) == nil {
		s.foreign++
		return nil
	}
	p := storage.Pending{URL: url, ID: id}
	return &Item{Kind: Upload, URL: url, ID: id, Objects: 1, Active: begun, folder: above(url), uploads: []storage.Pending{p}}
}

// measure finds out how large uploads are and when they were written to last.
func (s *scan) measure(ctx context.Context, uploads []*Item) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for n, i := range uploads {
		if n%100 == 0 {
			s.o.Progress(fmt.Sprintf("pending uploads: %d of %d", n, len(uploads)))
		}
		g.Go(func() error {
			parts, err := s.store.UploadParts(ctx, i.URL, i.ID)
			if errors.Is(err, storage.ErrNotFound) { // a trace of one, which an abort clears away; or it has ended meanwhile
				return nil
			}
			for _, p := range parts {
				i.Size += p.Size
				i.Active = later(i.Active, p.Begun)
			}
			return err
		})
	}
	return g.Wait()
}

// object notes an object that lies in a folder of millrace's own.
func (s *scan) object(o storage.Info) {
	if s.seen++; s.seen%1000 == 0 {
		s.o.Progress(fmt.Sprintf("objects: %d", s.seen))
	}
	folder := s.own(o.URL)
	if folder == nil {
		folder = s.stages(o.URL)
	}
	if folder != nil {
		folder.add(&Item{Size: o.Size, Active: o.Modified, objects: []string{o.URL}})
	} else if storage.Base(o.URL) == manifest.ClaimName {
		s.others = append(s.others, &Item{Kind: Claim, URL: o.URL, Objects: 1, Size: o.Size, Active: o.Modified, folder: above(o.URL), objects: []string{o.URL}})
	} else if storage.Base(o.URL) == manifest.Name {
		s.success[above(o.URL)+"/"] = o.Modified
	}
}

// isPart says whether an upload has the name of a part, in an output or in the folder of a side output.
func isPart(url string) bool {
	base := storage.Base(url)
	_, part := manifest.CutName(base)
	_, side := manifest.CutName(storage.Base(above(url)) + "/" + base)
	return part || side
}

// stages returns the item of the stages that a chain left in its output, if an object is a part or manifest of one of them.
func (s *scan) stages(url string) *Item {
	m := stageObject.FindStringSubmatch(url)
	if m == nil || !strings.HasPrefix(m[1], s.url) && m[1] != s.url {
		return nil
	}
	if _, part := manifest.CutName(m[2]); !part && m[2] != manifest.Name {
		return nil
	}
	folder := m[1] + "_stages/"
	i := s.folders[folder]
	if i == nil {
		i = &Item{Kind: Stages, URL: folder, folder: strings.TrimSuffix(m[1], "/")}
		s.folders[folder] = i
	}
	return i
}

// litter notes a file that a write left which was cut off.
func (s *scan) litter(o storage.Info) {
	i := &Item{Kind: Temporary, URL: o.URL, Objects: 1, Size: o.Size, Active: o.Modified, folder: above(o.URL), objects: []string{o.URL}}
	if folder := s.own(o.URL); folder != nil {
		folder.add(i)
	} else {
		s.others = append(s.others, i)
	}
}

// own returns the item of the folder of millrace's own that a URL lies in, nil if it lies in none. A folder that lies in
// another one belongs to that.
func (s *scan) own(url string) *Item {
	rest := strings.TrimPrefix(url, s.url)
	for at := 0; ; {
		n := strings.IndexByte(rest[at:], '/')
		if n < 0 {
			return nil
		}
		name, end := rest[at:at+n], at+n
		run := runFolder.FindStringSubmatch(name)
		if run == nil && !doctorFolder.MatchString(name) {
			at = end + 1
			continue
		}
		folder := s.url + rest[:end] + "/"
		i := s.folders[folder]
		if i == nil {
			i = &Item{Kind: Doctor, URL: folder, folder: above(strings.TrimSuffix(folder, "/"))}
			if run != nil {
				i.Kind, i.job = RunFolder, run[1]
			}
			s.folders[folder] = i
		}
		return i
	}
}

// add puts what lies in a folder to its item.
func (i *Item) add(part *Item) {
	i.Objects++
	i.Size += part.Size
	i.Active = later(i.Active, part.Active)
	i.objects = append(i.objects, part.objects...)
	i.uploads = append(i.uploads, part.uploads...)
}

// sorted is all that was found, by URL.
func (s *scan) sorted() []*Item {
	items := slices.AppendSeq(s.others, maps.Values(s.folders))
	items = slices.DeleteFunc(items, func(i *Item) bool { return i.Objects == 0 })
	for _, i := range items {
		if done, ok := s.success[i.folder+"/"]; ok && i.Kind == Stages {
			i.complete = !done.Before(i.Active) // an older one is of the output that the chain was to replace
		}
	}
	slices.SortFunc(items, func(a, b *Item) int { return cmp.Or(strings.Compare(a.URL, b.URL), strings.Compare(a.ID, b.ID)) })
	return items
}

// above is the folder that a URL lies in, without a slash at its end.
func above(url string) string { return url[:max(0, strings.LastIndexByte(url, '/'))] }

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
