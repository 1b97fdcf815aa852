package netns

import (
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"
)

// Network is a switch and the nodes on it.
type Network struct {
	// Host is the node that the test itself is on.
	Host *Node

	t     testing.TB
	wg    sync.WaitGroup
	mu    sync.Mutex // guards everything below
	nodes []*Node
	ways  map[way]Quality
	rnd   *rand.Rand
	sent  map[way]int // packets that came to the switch
	queue map[way]chan late
}

// way is a direction of a pair of nodes, by the last numbers of their addresses.
type way struct{ from, to byte }

// late is a packet on its way.
type late struct {
	packet []byte
	at     time.Time
	to     *os.File
}

// New makes a network with the calling process as its first node, whose processes must not have sent anything yet. seed
// chooses which packets are lost. It ends with the test.
func New(t testing.TB, seed uint64) *Network {
	t.Helper()
	n := &Network{t: t, ways: map[way]Quality{}, rnd: rand.New(rand.NewPCG(seed, 0)), sent: map[way]int{}, queue: map[way]chan late{}}
	t.Cleanup(n.close) // after the nodes' devices are closed, which ends the readers
	n.Host = n.add("host", true)
	return n
}

// Add plugs in another node.
func (n *Network) Add(name string) *Node {
	n.t.Helper()
	return n.add(name, false)
}

func (n *Network) add(name string, own bool) *Node {
	n.t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.nodes) == maxNodes {
		n.t.Fatalf("network: more than %d nodes", maxNodes)
	}
	node := newNode(n.t, name, len(n.nodes)+1, own)
	n.nodes = append(n.nodes, node)
	n.wg.Go(func() { n.carry(node) })
	return node
}

// close waits for the readers, whose devices are closed, and ends what is on its way.
func (n *Network) close() {
	n.wg.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, q := range n.queue {
		close(q)
	}
}

// Set makes the ways between two groups of nodes as good as q says, in both directions.
func (n *Network) Set(q Quality, a, b []*Node) {
	n.SetOneWay(q, a, b)
	n.SetOneWay(q, b, a)
}

// SetOneWay makes the ways from each node of one group to each of another as good as q says.
func (n *Network) SetOneWay(q Quality, from, to []*Node) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, a := range from {
		for _, b := range to {
			n.ways[n.wayLocked(a, b)] = q
		}
	}
}

// Heal makes all cables perfect again.
func (n *Network) Heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.ways)
}

// Sent says how many packets one node has sent to another, those that were cut off or lost included.
func (n *Network) Sent(from, to *Node) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.sent[n.wayLocked(from, to)]
}

func (n *Network) wayLocked(a, b *Node) way {
	var w way
	for i, node := range n.nodes {
		if node == a {
			w.from = byte(i + 1)
		}
		if node == b {
			w.to = byte(i + 1)
		}
	}
	return w
}

// carry takes a node's packets to where they are addressed, until its device is closed.
func (n *Network) carry(node *Node) {
	buf := make([]byte, mtu)
	for {
		size, err := node.tun.Read(buf)
		if err != nil {
			return
		}
		if p := buf[:size]; size >= 20 && p[0]>>4 == 4 && [3]byte(p[16:19]) == [3]byte(address[:3]) {
			n.forward(p, way{p[15], p[19]})
		}
	}
}

// forward takes one packet through the switch. What a device does not take is lost, as in a real one.
func (n *Network) forward(p []byte, w way) {
	n.mu.Lock()
	n.sent[w]++
	q := n.ways[w]
	if int(w.to) > len(n.nodes) || w.to == 0 || q.Cut || q.Loss > 0 && n.rnd.Float64() < q.Loss {
		n.mu.Unlock()
		return
	}
	to := n.nodes[w.to-1].tun
	line := n.queue[w]
	if line == nil && q.Delay > 0 {
		line = make(chan late, 4096)
		n.queue[w] = line
		go deliver(line) // ends when the line is closed
	}
	n.mu.Unlock()
	if line == nil {
		_, _ = to.Write(p)
		return
	}
	// Once there was a delay, later packets go the same line, so that none overtakes another.
	select {
	case line <- late{append([]byte(nil), p...), time.Now().Add(q.Delay), to}:
	default:
	}
}

// deliver hands packets over when they are due.
func deliver(line <-chan late) {
	for l := range line {
		time.Sleep(time.Until(l.at))
		_, _ = l.to.Write(l.packet)
	}
}
