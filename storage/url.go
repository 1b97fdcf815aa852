package storage

import (
	"fmt"
	"path"
	"path/filepath"
	"strings"
)

// URL is a parsed URL. Its parts are plain text, see the package comment.
type URL struct {
	Scheme string // "file", "s3", "mem"; lower case
	Host   string // the bucket; empty for files
	Key    string // without a leading slash; for files the cleaned absolute path; ends in "/" for a folder; may be empty
}

// String is the URL as text. ParseURL gives the same URL back.
func (u URL) String() string { return u.Scheme + "://" + u.Host + "/" + u.Key }

// ParseURL reads a URL or a plain path, which becomes an absolute file URL. A trailing slash is kept. The error wraps
// ErrBadURL. Whether a scheme has a Backend is the Store's to say.
func ParseURL(s string) (URL, error) {
	if s == "" {
		return URL{}, fmt.Errorf("%w: the name is empty", ErrBadURL)
	}
	if strings.ContainsRune(s, 0) {
		return URL{}, fmt.Errorf("%w: %q has a NUL byte", ErrBadURL, s)
	}
	scheme, rest, ok := cutScheme(s)
	if !ok {
		return parsePath(s)
	}
	if scheme == "file" {
		return parseFile(s, rest)
	}
	return parseBucket(scheme, rest)
}

// cutScheme splits "scheme://rest". Anything else is a path.
func cutScheme(s string) (scheme, rest string, ok bool) {
	scheme, rest, ok = strings.Cut(s, "://")
	if !ok || scheme == "" {
		return "", "", false
	}
	for i, c := range []byte(strings.ToLower(scheme)) {
		letter := 'a' <= c && c <= 'z'
		other := '0' <= c && c <= '9' || c == '+' || c == '-' || c == '.'
		if !letter && (i == 0 || !other) {
			return "", "", false
		}
	}
	return strings.ToLower(scheme), rest, true
}

// parsePath makes a plain path absolute.
func parsePath(s string) (URL, error) {
	for _, scheme := range []string{"s3:", "file:", "mem:"} {
		if strings.HasPrefix(s, scheme+"/") {
			return URL{}, fmt.Errorf("%w: %q: write %s//", ErrBadURL, s, scheme)
		}
	}
	abs, err := filepath.Abs(s)
	if err != nil {
		return URL{}, fmt.Errorf("%w: %q: %w", ErrBadURL, s, err)
	}
	return fileURL(filepath.ToSlash(abs), isFolder(s)), nil
}

// parseFile reads what follows "file://".
func parseFile(s, rest string) (URL, error) {
	rest = strings.TrimPrefix(rest, "localhost")
	if !strings.HasPrefix(rest, "/") {
		return URL{}, fmt.Errorf("%w: %q: a file URL is file:///absolute/path", ErrBadURL, s)
	}
	return fileURL(rest, isFolder(rest)), nil
}

// isFolder tells whether a path names a folder by its last segment alone.
func isFolder(p string) bool {
	last := p[strings.LastIndexByte(p, '/')+1:]
	return last == "" || last == "." || last == ".."
}

// fileURL cleans an absolute path and puts the folder's slash back, which cleaning drops.
func fileURL(abs string, folder bool) URL {
	key := strings.TrimPrefix(path.Clean(abs), "/")
	if folder && key != "" {
		key += "/"
	}
	return URL{Scheme: "file", Key: key}
}

// parseBucket reads the "host/key" of every scheme but file.
func parseBucket(scheme, rest string) (URL, error) {
	host, key, _ := strings.Cut(rest, "/")
	if _, bucket, has := strings.Cut(host, "@"); has {
		// What stands before '@' may be a secret: it must not reach a log.
		return URL{}, fmt.Errorf("%w: %s://***@%s: credentials do not belong in a URL; set AWS_ACCESS_KEY_ID and "+
			"AWS_SECRET_ACCESS_KEY or a profile", ErrBadURL, scheme, bucket)
	}
	u := URL{Scheme: scheme, Host: host, Key: key}
	if host == "" {
		return URL{}, fmt.Errorf("%w: %q: the bucket is missing: write %s://bucket/key", ErrBadURL, u, scheme)
	}
	for _, c := range []byte(host) {
		if !isBucketByte(c) {
			return URL{}, fmt.Errorf("%w: %s: the bucket's name %q may hold letters, digits, '.', '-' and '_' only",
				ErrBadURL, scheme, host)
		}
	}
	for seg := range strings.SplitSeq(key, "/") {
		if seg == "." || seg == ".." {
			return URL{}, fmt.Errorf("%w: %q: a key has no %q segment", ErrBadURL, u, seg)
		}
	}
	return u, nil
}

func isBucketByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '.' || c == '-' || c == '_'
}

// Join appends slash-separated names to a URL, with one slash between each.
func Join(url string, names ...string) string {
	for _, name := range names {
		url = strings.TrimSuffix(url, "/") + "/" + strings.TrimPrefix(name, "/")
	}
	return url
}

// Base is the last name in a URL, without a folder's slash.
func Base(url string) string {
	url = strings.TrimSuffix(url, "/")
	return url[strings.LastIndexByte(url, '/')+1:]
}

// Inside tells whether a URL is the folder itself or lies in it. Both are as ParseURL(...).String() writes them.
func Inside(url, folder string) bool {
	folder = strings.TrimSuffix(folder, "/") + "/"
	return strings.HasPrefix(url, folder) || url+"/" == folder
}
