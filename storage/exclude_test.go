package storage_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/storage"
)

// A pattern with a scheme or a leading slash is held against the whole URL, another against its last names in any folder; one
// that matches a folder leaves out what lies below it, and one with a slash at its end nothing but that.
func TestExclusion(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ pattern, url string }{
		{"*.tmp", "s3://b/a.tmp"}, {"*.tmp", "file:///x/y/a.tmp"}, {"*.tmp", "s3://b/old.tmp/a.csv"}, {"old", "s3://b/old/deep/a.csv"},
		{"old/", "s3://b/x/old/a.csv"}, {"old/*.csv", "s3://b/x/old/a.csv"}, {"./old/*.csv", "s3://b/x/old/a.csv"}, {"a.csv", "s3://b/a.csv"},
		{"{a,b}.csv", "s3://b/x/b.csv"}, {"s3://b/logs/*", "s3://b/logs/2026/a"}, {"s3://b/logs/", "s3://b/logs/a"},
		{"s3://b/**/a.csv", "s3://b/a.csv"}, {"s3://b/**/a.csv", "s3://b/x/y/a.csv"}, {"/data/*.bak", "file:///data/x.bak"},
		{"file:///data/*.bak", "file:///data/x.bak"}, {"x/**/z", "s3://b/w/x/y/y/z"}, {"2026-0[1-3]", "s3://b/2026-02/a"},
	} {
		if !excludes(t, test.url, test.pattern) {
			t.Errorf("%s does not leave %s out", test.pattern, test.url)
		}
	}
	for _, test := range []struct{ pattern, url string }{
		{"*.tmp", "s3://b/a.tmpx"}, {"old", "s3://b/older/a"}, {"old/", "s3://b/x/old"}, {"b", "s3://b/a"}, {"old/*.csv", "s3://b/old/x/a.csv"},
		{"s3://b/logs/*", "s3://c/logs/a"}, {"s3://b/logs/*", "s3://b/x/logs/a"}, {"/data/*.bak", "s3://data/x.bak"}, {"/data/*.bak", "s3://b/data/x.bak"},
		{"x/z", "s3://b/x/y/z"},
	} {
		if excludes(t, test.url, test.pattern) {
			t.Errorf("%s leaves %s out", test.pattern, test.url)
		}
	}
	if excludes(t, "s3://b/a") {
		t.Error("no pattern leaves an object out")
	}
	if !excludes(t, "s3://b/a", "x", "a") {
		t.Error("the second of two patterns does nothing")
	}
	for _, pattern := range []string{"", "/", "[a", "s3://b/{x", "s3://b"} {
		if _, err := storage.NewExclusion([]string{"a", pattern}); !errors.Is(err, storage.ErrBadURL) || !strings.Contains(err.Error(), "exclude \""+pattern+"\"") {
			t.Errorf("%q: got %v", pattern, err)
		}
	}
}

func excludes(t *testing.T, url string, patterns ...string) bool {
	t.Helper()
	x, err := storage.NewExclusion(patterns)
	if err != nil {
		t.Fatal(err)
	}
	kept := x.Filter([]storage.Listed{{URL: url}})
	if got := x.Excludes(url); got != (len(kept) == 0) {
		t.Fatalf("Excludes(%s) = %v, Filter keeps %v", url, got, slices.Collect(slices.Values(kept)))
	}
	return x.Excludes(url)
}
