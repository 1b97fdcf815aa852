package main

import (
	"bufio"
	"bytes"
	"regexp"
)

// finding appends the lines of a chunk that match to dst.
type finding func(dst, chunk []byte) []byte

// grep writes the lines of data that are found, in the order of data.
func grep(data []byte, out string, find finding) {
	pieces := chunks(data, 256)
	found := make([][]byte, len(pieces))
	parallel(len(pieces), func(_, task int) { found[task] = find(nil, pieces[task]) })
	writeTo(out, func(w *bufio.Writer) {
		for _, lines := range found {
			w.Write(lines)
		}
	})
}

// matcher finds by a regular expression, line by line.
func matcher(pattern string) finding {
	re := regexp.MustCompile(pattern)
	return func(dst, chunk []byte) []byte {
		for len(chunk) > 0 {
			end := bytes.IndexByte(chunk, '\n')
			if end < 0 {
				end = len(chunk) - 1
			}
			if re.Match(chunk[:end]) {
				dst = append(dst, chunk[:end+1]...)
			}
			chunk = chunk[end+1:]
		}
		return dst
	}
}

// finder finds a text wherever it is, and then the line around it.
func finder(text string) finding {
	return func(dst, chunk []byte) []byte {
		for {
			i := bytes.Index(chunk, []byte(text))
			if i < 0 {
				return dst
			}
			begin := bytes.LastIndexByte(chunk[:i], '\n') + 1
			end := bytes.IndexByte(chunk[i:], '\n') + i + 1
			if end == i {
				end = len(chunk)
			}
			dst = append(dst, chunk[begin:end]...)
			chunk = chunk[end:]
		}
	}
}
