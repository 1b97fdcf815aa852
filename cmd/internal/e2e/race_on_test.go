//go:build race

package e2e

// raceDetector says whether it watches this program.
const raceDetector = true
