package storage

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// Exclusion leaves objects out of a listing by their names:
//
//	s3://b/logs/tmp*, /data/**/*.bak   a URL or an absolute path: the whole URL, ** for any number of folders
//	*.tmp, old/*.csv                   anything else: the last names of the URL, in any folder
//
// A pattern that matches a folder leaves out all that lies below; one that ends in a slash matches folders only. These are the
// rules of restic's and tar's --exclude.
type Exclusion struct{ patterns []excluded }

// excluded is a compiled pattern.
type excluded struct {
	scheme, host string // "": of any
	key          string // glob for the key, or the path without its first slash
	folders      bool   // it matches folders only
}

// NewExclusion compiles patterns. A pattern that is no glob gives an error that wraps ErrBadURL.
func NewExclusion(patterns []string) (*Exclusion, error) {
	x := &Exclusion{}
	for _, p := range patterns {
		e := excluded{key: strings.TrimSuffix(p, "/"), folders: strings.HasSuffix(p, "/")}
		scheme, rest, ok := cutScheme(e.key)
		switch {
		case ok:
			e.scheme = scheme
			e.host, e.key, _ = strings.Cut(rest, "/")
		case strings.HasPrefix(e.key, "/"):
			e.scheme, e.key = "file", e.key[1:]
		case e.key != "":
			e.key = "**/" + strings.TrimPrefix(e.key, "./")
		}
		if e.key == "" || !doublestar.ValidatePattern(e.key) {
			return nil, fmt.Errorf("exclude %q: %w: the glob is not valid: see to its brackets and braces", p, ErrBadURL)
		}
		x.patterns = append(x.patterns, e)
	}
	return x, nil
}

// Excludes tells whether an object is left out. The URL is as Expand gives it.
func (x *Exclusion) Excludes(url string) bool {
	if len(x.patterns) == 0 {
		return false
	}
	scheme, rest, _ := cutScheme(url)
	host, key, _ := strings.Cut(rest, "/")
	return slices.ContainsFunc(x.patterns, func(e excluded) bool {
		return (e.scheme == "" || e.scheme == scheme && e.host == host) && e.matches(key)
	})
}

// matches tells whether the pattern matches a key or a folder that it lies in.
func (e *excluded) matches(key string) bool {
	for i, c := range key {
		if c == '/' && doublestar.MatchUnvalidated(e.key, key[:i]) {
			return true
		}
	}
	return !e.folders && doublestar.MatchUnvalidated(e.key, key)
}

// Filter returns the objects that are not left out, in a list of its own.
func (x *Exclusion) Filter(listed []Listed) []Listed {
	var out []Listed
	for _, l := range listed {
		if !x.Excludes(l.URL) {
			out = append(out, l)
		}
	}
	return out
}
