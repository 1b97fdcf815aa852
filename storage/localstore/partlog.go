package localstore

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/storage"
)

// A pending upload is a file of its parts' bytes in the order they came, and a log beside it that says where each part
// lies. So no byte is written twice if the parts come in order (they are the object then), and any process can find out
// what an upload holds. The log is text:
//
//	millrace-upload 1 BEGUN NAME      Unix nanoseconds; the object's last name, quoted as in Go
//	NUMBER OFFSET SIZE ETAG           one line per part, after its bytes; the last line of a number counts
//
// A line counts when its newline is there: what a crash left of a line is cut off by the next part. A log without its first line
// is what is left of a Create that was not finished, or what a power failure left of a log that was not sealed: nobody can have
// been promised anything of such an upload. It is listed, so that it gets aborted, and is none otherwise.

const (
	logMagic   = "millrace-upload"
	logVersion = 1
)

// extent is where a part lies.
type extent struct {
	number    int
	off, size int64
	etag      string
}

// partLog is a log as it was read.
type partLog struct {
	begun time.Time
	base  string // the object's last name
	parts []extent
	end   int64 // behind the last byte of all parts, those replaced included
	bytes int64 // length of the log up to where its lines are whole
}

// header is a log's first line.
func header(begun time.Time, base string) string {
	return fmt.Sprintf("%s %d %d %s\n", logMagic, logVersion, begun.UnixNano(), strconv.Quote(base))
}

// line is a part's line.
func (e extent) line() string {
	return fmt.Sprintf("%d %d %d %s\n", e.number, e.off, e.size, e.etag)
}

// errTorn is that a log's first line is not whole.
var errTorn = fmt.Errorf("%w: its log is without its first line", storage.ErrNotFound)

// readLog reads a log. The error wraps storage.ErrNotFound if there is none, and is errTorn as well if there is not enough of it.
func readLog(name string) (*partLog, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, explain(err)
	}
	l, err := parseLog(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return l, nil
}

// parseLog reads a log's text. Parts are in the order of their numbers.
func parseLog(data []byte) (*partLog, error) {
	first, rest, whole := bytes.Cut(data, []byte("\n"))
	l := &partLog{bytes: int64(len(first)) + 1}
	if !whole {
		return nil, errTorn
	}
	fields := strings.SplitN(string(first), " ", 4)
	if len(fields) != 4 || fields[0] != logMagic {
		return nil, errors.New("not the log of a pending upload")
	}
	if fields[1] != strconv.Itoa(logVersion) {
		return nil, fmt.Errorf("log of version %s, this program knows %d", fields[1], logVersion)
	}
	begun, err := strconv.ParseInt(fields[2], 10, 64)
	if err != nil {
		return nil, fmt.Errorf("bad time in a log: %w", err)
	}
	if l.base, err = strconv.Unquote(fields[3]); err != nil {
		return nil, fmt.Errorf("bad name in a log: %w", err)
	}
	l.begun = time.Unix(0, begun)
	for {
		text, next, whole := bytes.Cut(rest, []byte("\n"))
		e, ok := parseLine(string(text))
		if !whole || !ok {
			return l, nil
		}
		l.add(e)
		l.bytes += int64(len(text)) + 1
		rest = next
	}
}

func parseLine(text string) (extent, bool) {
	fields := strings.Split(text, " ")
	if len(fields) != 4 || fields[3] == "" {
		return extent{}, false
	}
	number, err1 := strconv.Atoi(fields[0])
	off, err2 := strconv.ParseInt(fields[1], 10, 64)
	size, err3 := strconv.ParseInt(fields[2], 10, 64)
	ok := err1 == nil && err2 == nil && err3 == nil && number > 0 && off >= 0 && size >= 0 && off+size >= 0
	return extent{number, off, size, fields[3]}, ok
}

// add puts a part in its place, instead of an earlier one of its number.
func (l *partLog) add(e extent) {
	i, found := slices.BinarySearchFunc(l.parts, e.number, func(p extent, n int) int { return p.number - n })
	if found {
		l.parts[i] = e
	} else {
		l.parts = slices.Insert(l.parts, i, e)
	}
	l.end = max(l.end, e.off+e.size)
}

// find gives the extents of parts, which must be the ones that were written.
func (l *partLog) find(parts []storage.Part) ([]extent, error) {
	var found []extent
	for _, p := range parts {
		i, ok := slices.BinarySearchFunc(l.parts, p.Number, func(e extent, n int) int { return e.number - n })
		if !ok || l.parts[i].etag != p.ETag {
			return nil, fmt.Errorf("%w: it has no part %d with ETag %s", storage.ErrPendingLost, p.Number, p.ETag)
		}
		found = append(found, l.parts[i])
	}
	return found, nil
}

// inOrder tells whether extents lie one after the other from the beginning, and how long they are together.
func inOrder(extents []extent) (ordered bool, size int64) {
	ordered = true
	for _, e := range extents {
		ordered = ordered && (e.off == size || e.size == 0)
		size += e.size
	}
	return ordered, size
}

// appendLine adds a part's line behind the whole lines of a log, over what a crash may have left there.
func (l *partLog) appendLine(name string, e extent) error {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	fi, err := f.Stat()
	if err == nil && fi.Size() > l.bytes {
		err = f.Truncate(l.bytes)
	}
	if err == nil {
		_, err = f.WriteAt([]byte(e.line()), l.bytes)
	}
	return errors.Join(err, f.Close())
}

// exists tells whether a file is there.
func exists(name string) (bool, error) {
	_, err := os.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
