package manifest

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// ClaimName is the name of the object in an output that says which job writes there. It is there from the job's submission to its end,
// written only where there is none.
const ClaimName = ".millrace-claim"

// MaxClaim bounds a claim, bytes.
const MaxClaim = 64 << 10

// Claim is the content of that object.
type Claim struct {
	Version int       `json:"version"` // 1
	Job     string    `json:"job"`
	Cluster string    `json:"cluster,omitempty"` // the id of its masters' cluster; "" for a job without one
	Host    string    `json:"host,omitempty"`    // where the master ran
	Since   time.Time `json:"since"`
	// Process is the one with which the job ends, if it has no other master that goes on with it.
	Process *Process `json:"process,omitempty"`
}

// Process is a process of one machine. Two are the same if they are equal.
type Process struct {
	Machine string `json:"machine"` // and what of it can see the process: its boot, its namespace
	PID     int    `json:"pid"`
	Start   string `json:"start,omitempty"` // tells apart those that have the same PID, one after the other
}

// ErrNoClaim is an object of that name that no millrace wrote.
var ErrNoClaim = errors.New("not the claim of a job")

// Encode writes a claim.
func (c Claim) Encode() ([]byte, error) {
	c.Version = 1
	b, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode claim: %w", err)
	}
	return append(b, '\n'), nil
}

// ParseClaim reads what Encode has written, by this version or a newer one.
func ParseClaim(b []byte) (c Claim, err error) {
	if len(b) > MaxClaim {
		return c, fmt.Errorf("%w: it has %d bytes", ErrNoClaim, len(b))
	}
	if err := json.Unmarshal(b, &c); err != nil {
		return c, fmt.Errorf("%w: %w", ErrNoClaim, err)
	}
	if c.Version < 1 || c.Job == "" {
		return c, fmt.Errorf("%w: it names no job", ErrNoClaim)
	}
	return c, nil
}

// By says who claims, for people.
func (c Claim) By() string {
	text := "job " + c.Job
	if c.Cluster != "" {
		text += " of cluster " + c.Cluster
	}
	if c.Host != "" {
		text += " on " + c.Host
	}
	return text + " has claimed it since " + c.Since.UTC().Format(time.DateTime) + " UTC"
}
