// Package netns gives tests a network whose cables they can cut: nodes with network namespaces of their own, whose packets go
// through a switch in the test's process, which drops, delays and loses them as it is told, each direction of each pair
// of nodes by itself. Processes that run on the nodes are the real ones and know nothing of it.
//
//	process on node a ─► its kernel ─► TUN device ─► switch (cut? lost? later?) ─► TUN device ─► node b's kernel ─► process
//
// It needs Linux, the right to make user and network namespaces, and /dev/net/tun; no tool, no kernel module for delays and
// losses, and no connection to the machine's own network: a node reaches other nodes and nothing else. The nodes'
// addresses are of the loopback range, 127.77.0.0/24, since that is what programs without TLS may serve; each node's kernel is
// told that these are no loopback.
//
// Called by tests of clusters.
package netns

import "time"

// Quality is how packets go one way from one node to another. The zero value is a perfect cable.
type Quality struct {
	Cut   bool          // nothing arrives, and nobody is told
	Loss  float64       // the share of packets that do not arrive, from 0 to 1
	Delay time.Duration // of each packet; their order stays
}

// address is the range of the nodes' addresses: node n, from 1, has 127.77.0.n.
var address = [4]byte{127, 77, 0, 0}

// maxNodes is how many addresses there are.
const maxNodes = 250
