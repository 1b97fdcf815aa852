//go:build !race

package main

// watched are the tests that run under the race detector, "" without it.
const watched = ""
