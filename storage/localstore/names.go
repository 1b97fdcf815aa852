package localstore

import (
	"crypto/rand"
	"encoding/hex"
	"path/filepath"
	"strings"
)

// The hidden files, by how their names end. See the package comment.
const (
	tmpSuffix     = ".tmp"
	pendingSuffix = ".pending"
	partsSuffix   = ".pending.parts"
)

const (
	idBytes = 16
	// maxBase is how much of an object's name its hidden files bear: with the longest suffix and the id they stay below
	// the 255 bytes that file systems allow.
	maxBase = 200
)

// newID is a name that nobody else makes up.
func newID() string {
	var id [idBytes]byte
	rand.Read(id[:]) // never fails
	return hex.EncodeToString(id[:])
}

// isID keeps foreign ids from becoming paths.
func isID(id string) bool {
	if len(id) != 2*idBytes {
		return false
	}
	for _, c := range []byte(id) {
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f') {
			return false
		}
	}
	return true
}

// hiddenName is the hidden file of an object, beside it.
func hiddenName(name, id, suffix string) string {
	dir, base := filepath.Split(name)
	if len(base) > maxBase {
		base = strings.ToValidUTF8(base[:maxBase], "") // some file systems want whole characters
	}
	return filepath.Join(dir, "."+base+"."+id+suffix)
}

// splitHidden takes the name of a hidden file apart; ok is false for all other files.
func splitHidden(base string) (id, suffix string, ok bool) {
	if !strings.HasPrefix(base, ".") {
		return "", "", false
	}
	for _, suffix := range []string{partsSuffix, pendingSuffix, tmpSuffix} {
		rest, found := strings.CutSuffix(base, suffix)
		dot := len(rest) - 2*idBytes - 1
		if found && dot > 0 && rest[dot] == '.' && isID(rest[dot+1:]) {
			return rest[dot+1:], suffix, true
		}
	}
	return "", "", false
}
