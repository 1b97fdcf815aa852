//go:build race

package main

// watched are the tests that run under the race detector, with processes that it watches: those of commands with goroutines of their
// own. The others run the parts of millrace that their own packages' tests run under it.
const watched = "^(TestCluster|TestClusterMasters|TestWaiting|TestPatience|TestSubmitIsInterrupted|TestWaitOverFailover)$"
