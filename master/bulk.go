package master

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/millrace/millrace/master/records"
	"github.com/millrace/millrace/storage"
)

// A block that is too long for the journal (a plan of a million objects, what a chain collects) lies in the job's work folder, under
// a name made of its content, and the journal holds where. It is durable before the journal tells of it, and goes when the job has
// ended and its log has been replaced.

const (
	// maxInline is the longest block of a document that the journal itself holds, bytes: of a small job all of it, which saves a
	// request each way.
	maxInline = 64 << 10
	// maxBulk bounds what is read of a block, bytes.
	maxBulk = 1 << 30
)

// bulk says where a block lies. What it tells of the job is for the case that it lies there no more.
type bulk struct {
	At     time.Time `json:"at"` // of the document
	Job    string    `json:"job"`
	Output string    `json:"output"`
	URL    string    `json:"url"`
	SHA256 string    `json:"sha256"`
	Size   int64     `json:"bytes"`
	// Version is of millrace, of the master that wrote the block.
	Version string `json:"version,omitempty"`
}

// kind is what the block is of.
func (b *bulk) kind() records.Kind {
	for _, k := range []records.Kind{records.Submission, records.Chain} {
		if strings.HasPrefix(storage.Base(b.URL), k.String()+"-") {
			return k
		}
	}
	return 0
}

// errBulk is a block that is gone or not what was written. Reading it again changes nothing.
var errBulk = errors.New("what the journal points to")

// document makes a block of a document of a job, and puts it into the storage if it is long.
func (m *Master) document(ctx context.Context, j *job, kind records.Kind, doc []byte) ([]byte, error) {
	block := m.codec.Document(kind, doc)
	if len(block) <= maxInline {
		return block, nil
	}
	sum := sha256.Sum256(block)
	b := bulk{At: j.submitted, Job: j.spec.Job, Output: j.spec.Output, SHA256: hex.EncodeToString(sum[:]), Size: int64(len(block)), Version: m.o.Version}
	b.URL = j.work() + "/" + kind.String() + "-" + b.SHA256
	if err := m.o.Store.Put(ctx, b.URL, block, false); err != nil {
		return nil, fmt.Errorf("job %s: %w", j.id, err)
	}
	j.bulky = true
	text, err := json.Marshal(b)
	if err != nil {
		return nil, fmt.Errorf("job %s: encode where its %s lies: %w", j.id, kind, err)
	}
	return m.codec.Document(records.Bulk, text), nil
}

// openBlock opens a block of the journal, and the one that it points to. far is set for one that lies, or lay, in the storage.
func (m *Master) openBlock(ctx context.Context, block []byte) (kind records.Kind, body []byte, far *bulk, err error) {
	kind, body, err = m.codec.Open(block)
	if err != nil || kind != records.Bulk {
		return kind, body, nil, err
	}
	far = new(bulk)
	if err := json.Unmarshal(body, far); err != nil {
		return kind, nil, nil, fmt.Errorf("%w: %w", records.ErrDamaged, err)
	}
	if block, err = m.fetchBulk(ctx, far); err != nil {
		return kind, nil, far, err
	}
	if kind, body, err = m.codec.Open(block); kind == records.Bulk {
		err = fmt.Errorf("%w: %s points elsewhere", records.ErrDamaged, far.URL)
	}
	return kind, body, far, err
}

// readBulk reads a block. The error wraps errBulk if it is gone or another; any other may pass.
func (m *Master) readBulk(ctx context.Context, b *bulk) ([]byte, error) {
	if b.Size < 0 || b.Size > maxBulk {
		return nil, fmt.Errorf("%w, %s: it would have %d bytes", errBulk, b.URL, b.Size)
	}
	body, info, err := m.o.Store.Read(ctx, b.URL, 0, b.Size, "")
	if errors.Is(err, storage.ErrNotFound) || errors.Is(err, storage.ErrNoBucket) {
		return nil, fmt.Errorf("%w is gone: %w", errBulk, err)
	}
	if err != nil {
		return nil, err
	}
	defer body.Close()
	if info.Size != b.Size {
		return nil, fmt.Errorf("%w, %s: it has %d bytes, not %d", errBulk, b.URL, info.Size, b.Size)
	}
	block := make([]byte, b.Size)
	if _, err := io.ReadFull(body, block); err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(block); hex.EncodeToString(sum[:]) != b.SHA256 {
		return nil, fmt.Errorf("%w, %s: it is damaged: its SHA-256 is %x, not %s", errBulk, b.URL, sum, b.SHA256)
	}
	return block, nil
}

// isBulk says whether an object in a work folder is a block of the journal.
func isBulk(url string) bool {
	kind, sum, ok := strings.Cut(storage.Base(url), "-")
	return ok && len(sum) == 2*sha256.Size && (kind == records.Submission.String() || kind == records.Chain.String())
}

// removeBulk removes what document has put into the storage. Nothing in the journal may point to it any more.
func (m *Master) removeBulk(ctx context.Context, j *job) {
	if !j.bulky {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	if err := m.o.Store.RemoveFolder(ctx, j.work()); err != nil {
		m.o.Log.Warn("remove plan", "job", j.id, "folder", j.work(), "error", err)
	}
}
