package wire

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// HandshakeTimeout bounds the time from a connection's start to the end of its preamble, TLS included.
const HandshakeTimeout = 5 * time.Second

// The protocol versions that this program speaks: the newest one, and those of the release before, so that the masters, workers
// and clients of a cluster can be upgraded one by one.
const (
	minVersion = 1
	maxVersion = 2

	termVersion = 2 // from here on, frames carry terms
)

const (
	preambleSize = 32
	// magic ends in what makes a web server answer at once that this is no request; without it both sides would wait.
	magic = "mlrc\r\n\r\n"
)

// Role is what the peer that dials is.
type Role uint8

const (
	RoleWorker Role = 1 // may call WorkerService
	RoleClient Role = 2 // may call ClientService and Inspector
	RoleMaster Role = 3 // may call MasterService
)

func (r Role) String() string {
	switch r {
	case RoleWorker:
		return "worker"
	case RoleClient:
		return "client"
	case RoleMaster:
		return "master"
	}
	return fmt.Sprintf("Role(%d)", uint8(r))
}

// ClusterID names a cluster for its whole life: 128 random bits. Zero means any cluster, or not known yet.
type ClusterID [16]byte

func (c ClusterID) String() string { return hex.EncodeToString(c[:]) }

// What keeps two peers from talking to each other.
var (
	ErrNotMillrace  = errors.New("this is not a millrace master")
	ErrVersion      = errors.New("the master speaks another protocol")
	ErrOtherCluster = errors.New("the master belongs to another cluster")
)

// verdict is the server's answer to a client's preamble.
type verdict uint8

const (
	welcome    verdict = 0
	badVersion verdict = 1
	badCluster verdict = 2
	badRole    verdict = 3
)

// preamble is what each side says first; see the table in the package comment.
type preamble struct {
	min, max uint16
	note     uint8 // the client's Role, the server's verdict
	cluster  ClusterID
}

func (p preamble) encode() []byte {
	b := make([]byte, 0, preambleSize)
	b = append(b, magic...)
	b = binary.BigEndian.AppendUint16(b, p.min)
	b = binary.BigEndian.AppendUint16(b, p.max)
	b = append(b, p.note, 0, 0, 0)
	return append(b, p.cluster[:]...)
}

// readPreamble reads the magic alone first: a peer that says something else and waits is refused at once.
func readPreamble(r io.Reader) (preamble, error) {
	var b [preambleSize]byte
	if _, err := io.ReadFull(r, b[:len(magic)]); err != nil {
		return preamble{}, fmt.Errorf("preamble: %w", err)
	}
	if string(b[:len(magic)]) != magic {
		return preamble{}, ErrNotMillrace
	}
	if _, err := io.ReadFull(r, b[len(magic):]); err != nil {
		return preamble{}, fmt.Errorf("preamble: %w", err)
	}
	return preamble{
		min:     binary.BigEndian.Uint16(b[8:]),
		max:     binary.BigEndian.Uint16(b[10:]),
		note:    b[12],
		cluster: ClusterID(b[16:]),
	}, nil
}

// agree returns the version that a connection uses, the highest that both sides speak; false if there is none.
func agree(a, b preamble) (version uint16, ok bool) {
	version = min(a.max, b.max)
	return version, a.min <= version && b.min <= version
}

// greet is the client's side: it introduces itself, speaking versions up to newest, and returns the cluster's id and the version
// that the connection uses. The caller sets the deadline.
func greet(conn net.Conn, role Role, cluster ClusterID, newest uint16) (ClusterID, uint16, error) {
	mine := preamble{min: minVersion, max: newest, note: uint8(role), cluster: cluster}
	if _, err := conn.Write(mine.encode()); err != nil {
		return ClusterID{}, 0, fmt.Errorf("preamble: %w", err)
	}
	theirs, err := readPreamble(conn)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return ClusterID{}, 0, fmt.Errorf("%w, or it has too many connections, or it expects TLS: it closed the connection "+
			"without an answer", ErrNotMillrace)
	}
	if err != nil {
		return ClusterID{}, 0, err
	}
	version, ok := agree(mine, theirs)
	switch verdict(theirs.note) {
	case welcome:
		if cluster != (ClusterID{}) && theirs.cluster != cluster {
			return ClusterID{}, 0, otherCluster(theirs.cluster, cluster)
		}
		if ok {
			return theirs.cluster, version, nil
		}
		fallthrough
	case badVersion:
		older := "upgrade this program"
		if theirs.max < mine.min {
			older = "upgrade the master"
		}
		return ClusterID{}, 0, fmt.Errorf("%w: it speaks protocol %d..%d, this program %d..%d: %s",
			ErrVersion, theirs.min, theirs.max, mine.min, mine.max, older)
	case badCluster:
		return ClusterID{}, 0, otherCluster(theirs.cluster, cluster)
	}
	return ClusterID{}, 0, fmt.Errorf("%w: role %s refused", ErrUnknownCall, role)
}

func otherCluster(theirs, ours ClusterID) error {
	return fmt.Errorf("%w: %s, wanted %s: check the address", ErrOtherCluster, theirs, ours)
}

// welcomePeer is the server's side: it judges what the client says, answers, and returns the client's role and the version
// that the connection uses. It speaks versions up to newest. A peer in a role that is not among those served is not answered if it
// may come back later, when it will be. The caller sets the deadline.
func welcomePeer(conn net.Conn, cluster ClusterID, newest uint16, serves func(Role) (now, ever bool)) (Role, uint16, error) {
	theirs, err := readPreamble(conn)
	if err != nil {
		return 0, 0, err
	}
	mine := preamble{min: minVersion, max: newest, cluster: cluster}
	role, answer := Role(theirs.note), welcome
	version, ok := agree(mine, theirs)
	now, ever := serves(role)
	switch {
	case !now && ever: // it knows its cluster, which this master does not yet: no verdict would be right
		return role, 0, fmt.Errorf("%w: a %s is not answered before this master is one of a cluster", ErrNotLeader, role)
	case !ok:
		answer, err = badVersion, fmt.Errorf("%w: the peer %d..%d, this master %d..%d",
			ErrVersion, theirs.min, theirs.max, mine.min, mine.max)
	case theirs.cluster != (ClusterID{}) && theirs.cluster != cluster:
		answer, err = badCluster, otherCluster(theirs.cluster, cluster)
	case !now:
		answer, err = badRole, fmt.Errorf("%w: %s", ErrUnknownCall, role)
	}
	mine.note = uint8(answer)
	if _, werr := conn.Write(mine.encode()); err == nil && werr != nil {
		err = fmt.Errorf("preamble: %w", werr)
	}
	return role, version, err
}
