package member

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// spoolName is a file in the data directory while a snapshot is made; it is removed as soon as it is open.
const spoolName = "snapshot.new"

// syncEvery so many bytes of a copy are brought to the disk before more are written: more at once, and etcd's own log would wait for
// them, and the leader's term might end meanwhile.
const syncEvery = 4 << 20

// Snapshot is a copy of a member's database as it was at one moment, in the form that etcd's own tools make and read: the
// database's file, then the 32 bytes of its SHA-256. Who has it closes it.
type Snapshot struct {
	f    *os.File
	Size int64 // bytes
}

// Read implements io.Reader.
func (s *Snapshot) Read(p []byte) (int, error) { return s.f.Read(p) }

// Close frees its space.
func (s *Snapshot) Close() error { return s.f.Close() }

// Snapshot copies the database. The copy holds all that the member knew when it was called. It is made on the disk, and only then
// read: while the database itself is read it cannot use its free space, and whoever wants the copy may be slow.
func (m *Member) Snapshot(ctx context.Context) (_ *Snapshot, err error) {
	path := filepath.Join(m.dir.path, spoolName)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("copy the master's database: %w", err)
	}
	err = os.Remove(path)
	s := &Snapshot{f: f}
	if err == nil {
		s.Size, err = m.spool(ctx, f)
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, fmt.Errorf("copy the master's database: %w", errors.Join(err, f.Close()))
	}
	return s, nil
}

// spool writes the database and its hash to a file.
func (m *Member) spool(ctx context.Context, f *os.File) (int64, error) {
	m.healing.Lock() // giving space back waits for readers, and everybody would wait for that
	defer m.healing.Unlock()
	snap := m.etcd.Server.Backend().Snapshot()
	sum := sha256.New()
	n, err := snap.WriteTo(io.MultiWriter(&paced{ctx: ctx, f: f}, sum))
	if ctx.Err() != nil { // of which the database tells only the words
		err = ctx.Err()
	}
	if err == nil && n != snap.Size() {
		err = fmt.Errorf("%w: %d of %d bytes", io.ErrUnexpectedEOF, n, snap.Size())
	}
	if err = errors.Join(err, snap.Close()); err != nil {
		return 0, err
	}
	_, err = f.Write(sum.Sum(nil))
	return n + sha256.Size, err
}

// paced writes to a file and to its disk.
type paced struct {
	ctx   context.Context // ends the copying: an io.Writer has none
	f     *os.File
	dirty int
}

// Write implements io.Writer.
func (p *paced) Write(b []byte) (int, error) {
	if err := p.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := p.f.Write(b)
	if p.dirty += n; err == nil && p.dirty >= syncEvery {
		p.dirty, err = 0, p.f.Sync()
	}
	return n, err
}
