//go:build !linux

package shuffle

import "os"

// punchHole does nothing: the space is given back with the file.
func punchHole(*os.File, int64, int64) error { return nil }
