package shuffle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/runfile"
)

// Run names one map attempt's run.
type Run struct {
	Map, Attempt int
	URL          string
	Size         int64  // bytes
	Checksum     uint64 // of the content, see runfile.Summary
}

// Opened is one section of a run, ready to be read.
type Opened struct {
	Section  runfile.Section
	Checksum uint64        // of the run that was found under the URL
	Body     io.ReadCloser // the section's bytes from the one asked for on
	Path     string        // of the run's file, if it lies on this machine and stays: it needs no copy then
	Base     int64         // of the run in that file
	Largest  int           // bytes of the run's largest block, if that is known of a file under Path: it is read once then, by the merge
}

// Opener opens a partition's section of a run, from byte from of the section on.
// ErrNoRun says that the run is not there, so that trying again is of no use.
type Opener interface {
	Open(ctx context.Context, run Run, partition int, from int64) (*Opened, error)
}

// ErrNoRun reports that there is no run under a URL.
var ErrNoRun = errors.New("no such run")

const (
	dialTimeout   = 3 * time.Second
	headerTimeout = 15 * time.Second // the server only opens a file before it answers
	idleTimeout   = 90 * time.Second
	idlePerHost   = 16 // connections kept per worker: as many fetches as its reducers run at once, about
)

// newClient returns an HTTP client for sections. It sets no limit on a whole answer: Reader watches for stalls.
func newClient() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext:           (&net.Dialer{Timeout: dialTimeout}).DialContext,
		ResponseHeaderTimeout: headerTimeout,
		IdleConnTimeout:       idleTimeout,
		MaxIdleConnsPerHost:   idlePerHost,
		DisableCompression:    true,
	}}
}

// HTTPOpener opens sections that a Server serves.
type HTTPOpener struct{ Client *http.Client }

// Open implements Opener.
func (o HTTPOpener) Open(ctx context.Context, run Run, partition int, from int64) (*Opened, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, run.URL+"?partition="+strconv.Itoa(partition), nil)
	if err != nil {
		return nil, err
	}
	want := http.StatusOK
	if from > 0 {
		want = http.StatusPartialContent
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", from))
	}
	resp, err := o.Client.Do(req)
	if err != nil {
		if network, ok := errors.AsType[net.Error](err); ok && network.Timeout() {
			o.Client.CloseIdleConnections() // the others to that worker are as dead, and each would be found out by another timeout
		}
		return nil, err
	}
	opened, err := answer(resp, want, partition, from)
	if err != nil {
		return nil, errors.Join(err, resp.Body.Close())
	}
	return opened, nil
}

// answer reads what a Server's response says of the section in its body.
func answer(resp *http.Response, want, partition int, from int64) (*Opened, error) {
	if resp.StatusCode == http.StatusNotFound {
		return nil, ErrNoRun
	}
	if resp.StatusCode != want {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 200)) // it only explains the status
		return nil, fmt.Errorf("answer %s: %s", resp.Status, strings.TrimSpace(string(text)))
	}
	section, err := runfile.ParseSection(resp.Header.Get(sectionHeader), partition)
	if err != nil {
		return nil, err
	}
	checksum, err := strconv.ParseUint(strings.Trim(resp.Header.Get("ETag"), `"`), 16, 64)
	if err != nil {
		return nil, fmt.Errorf("answer without the run's checksum: %w", err)
	}
	if resp.ContentLength != section.Length-from {
		return nil, fmt.Errorf("answer of %d bytes: want %d", resp.ContentLength, section.Length-from)
	}
	return &Opened{Section: section, Checksum: checksum, Body: resp.Body}, nil
}

// FileOpener opens sections of runs that lie on this machine, under file:// URLs.
type FileOpener struct{}

// Open implements Opener.
func (FileOpener) Open(_ context.Context, run Run, partition int, from int64) (*Opened, error) {
	path, ok := strings.CutPrefix(run.URL, "file://")
	if !ok {
		return nil, fmt.Errorf("open run: %q is no file:// URL", run.URL)
	}
	return openFile(path, 0, run, partition, from)
}

// openFile opens a section of a run that begins at base of a file.
func openFile(path string, base int64, run Run, partition int, from int64) (*Opened, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", ErrNoRun, err)
	}
	if err != nil {
		return nil, err
	}
	section, tail, err := runfile.ReadSection(io.NewSectionReader(f, base, run.Size), run.Size, partition)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	body := io.NewSectionReader(f, base+section.Offset+from, section.Length-from)
	return &Opened{Section: section, Checksum: tail.Checksum, Body: readCloser{body, f}, Path: path, Base: base}, nil
}

// readCloser reads from one thing and closes another.
type readCloser struct {
	io.Reader
	io.Closer
}

// Store is what StoreOpener needs of a storage.Store.
type Store interface {
	Read(ctx context.Context, url string, off, n int64, etag string) (io.ReadCloser, storage.Info, error)
}

// StoreOpener opens sections of runs that lie in a store: two requests for the tail and the section, three when there are
// more partitions than the tail's read covers.
type StoreOpener struct{ Store Store }

// Open implements Opener.
func (o StoreOpener) Open(ctx context.Context, run Run, partition int, from int64) (*Opened, error) {
	section, tail, err := runfile.ReadSection(storedRun{ctx, o.Store, run.URL}, run.Size, partition)
	if err != nil {
		return nil, noRun(err)
	}
	body := io.NopCloser(strings.NewReader(""))
	if n := section.Length - from; n > 0 {
		if body, _, err = o.Store.Read(ctx, run.URL, section.Offset+from, n, ""); err != nil {
			return nil, noRun(err)
		}
	}
	return &Opened{Section: section, Checksum: tail.Checksum, Body: body}, nil
}

func noRun(err error) error {
	if errors.Is(err, storage.ErrNotFound) {
		return fmt.Errorf("%w: %w", ErrNoRun, err)
	}
	return err
}

// storedRun reads a stored object at any place, a request each. It lives for one Open, whose context it carries.
type storedRun struct {
	ctx   context.Context
	store Store
	url   string
}

func (s storedRun) ReadAt(b []byte, at int64) (int, error) {
	body, _, err := s.store.Read(s.ctx, s.url, at, int64(len(b)), "")
	if err != nil {
		return 0, err
	}
	n, err := io.ReadFull(body, b)
	return n, errors.Join(err, body.Close())
}
