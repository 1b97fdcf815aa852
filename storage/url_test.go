package storage_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/storage"
)

// Paths become absolute file URLs, and what stands in a name stays in its URL as it is.
func TestParseURL(t *testing.T) {
	t.Parallel()
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	for in, want := range map[string]string{
		"/a/b":                      "file:///a/b",
		"/a//b/../c/":               "file:///a/c/",
		"/a/.":                      "file:///a/",
		"/":                         "file:///",
		"x y#1?.txt":                "file://" + here + "/x y#1?.txt",
		"./50%":                     "file://" + here + "/50%",
		".":                         "file://" + here + "/",
		"file:///a/b c":             "file:///a/b c",
		"file://localhost/a":        "file:///a",
		"FILE:///a/":                "file:///a/",
		"s3://bucket/k":             "s3://bucket/k",
		"s3://bucket":               "s3://bucket/",
		"S3://bucket/a//b/":         "s3://bucket/a//b/",
		"s3://my.bucket-1/a b#c?d%": "s3://my.bucket-1/a b#c?d%",
		"s3://b/user@host":          "s3://b/user@host",
		"mem://x/..y/z..":           "mem://x/..y/z..",
		"a b://c":                   "file://" + here + "/a b:/c",
	} {
		u, err := storage.ParseURL(in)
		if err != nil || u.String() != want {
			t.Errorf("ParseURL(%q) = %q, %v; want %q", in, u, err, want)
		}
	}
}

// Bad URLs are refused with the reason, and a secret in one is not shown.
func TestParseURLRefuses(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                           "empty",
		"a\x00b":                     "NUL",
		"s3://":                      "bucket is missing",
		"s3:///key":                  "bucket is missing",
		"s3:/b/k":                    "write s3://",
		"file://host/a":              "file:///absolute/path",
		"file://a":                   "file:///absolute/path",
		"s3://b/a/../c":              `".." segment`,
		"s3://b/./c":                 `"." segment`,
		"s3://bu cket/c":             "may hold letters",
		"s3://b:9000/c":              "may hold letters",
		"s3://AKIAKEY:s3cr3t@b/key":  "AWS_SECRET_ACCESS_KEY",
		"s3://AKIAKEY:s3cr3t@b@c/k@": "credentials do not belong",
	} {
		_, err := storage.ParseURL(in)
		if !errors.Is(err, storage.ErrBadURL) || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseURL(%q) = %v; want a bad URL that says %q", in, err, want)
		} else if strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("ParseURL(%q) tells the secret: %v", in, err)
		}
	}
}

// Names of URLs are put together and taken apart.
func TestURLNames(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ got, want string }{
		{storage.Join("s3://b", "k"), "s3://b/k"},
		{storage.Join("s3://b/out/", "/part", "x y"), "s3://b/out/part/x y"},
		{storage.Join("file:///"), "file:///"},
		{storage.Join("file:///", "a"), "file:///a"},
		{storage.Base("s3://b/out/part-0"), "part-0"},
		{storage.Base("s3://b/out/"), "out"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
	for _, c := range []struct {
		url, folder string
		want        bool
	}{
		{"s3://b/out/x", "s3://b/out", true},
		{"s3://b/out", "s3://b/out/", true},
		{"s3://b/out/", "s3://b/out", true},
		{"s3://b/output", "s3://b/out", false},
		{"s3://b/out", "s3://b/out/x", false},
		{"s3://b/x", "s3://b/", true},
	} {
		if got := storage.Inside(c.url, c.folder); got != c.want {
			t.Errorf("Inside(%q, %q) = %v, want %v", c.url, c.folder, got, c.want)
		}
	}
}

// Whatever is parsed never panics, and what is accepted is parsed to itself again, has a clean key and no secret.
func FuzzParseURL(f *testing.F) {
	for _, s := range []string{"/a/b", "s3://bucket/a b#?%", "file:///x/../y/", "mem://h/", "s3://u:p@b/k", "..", "a://b/c", "://", "file://localhost"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := storage.ParseURL(s)
		if err != nil {
			if !errors.Is(err, storage.ErrBadURL) {
				t.Fatalf("ParseURL(%q): %v is no ErrBadURL", s, err)
			}
			return
		}
		again, err := storage.ParseURL(u.String())
		if err != nil || again != u {
			t.Fatalf("ParseURL(%q) = %+v, parsed again %+v, %v", s, u, again, err)
		}
		for seg := range strings.SplitSeq(u.Key, "/") {
			if seg == ".." || seg == "." {
				t.Fatalf("ParseURL(%q) has the key %q", s, u.Key)
			}
		}
		if strings.ContainsRune(u.Host, '@') || u.Scheme != strings.ToLower(u.Scheme) {
			t.Fatalf("ParseURL(%q) = %+v", s, u)
		}
	})
}
