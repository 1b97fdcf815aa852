package e2e

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/cmd/internal/netns"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage/storagetest/servers"
)

// partitioned is an ensemble on a network whose cables can be cut.
type partitioned struct {
	*ensemble
	net   *netns.Network
	nodes map[string]*netns.Node // by process
	k     killed
	w     workload
	id    wire.JobID // of the job that runs
}

func (p *partitioned) node(process string) *netns.Node {
	if p.nodes[process] == nil {
		p.nodes[process] = p.net.Add(process)
	}
	return p.nodes[process]
}

// others are the nodes whose names begin so, but for some.
func (p *partitioned) others(prefix string, but ...*netns.Node) (list []*netns.Node) {
	for name, n := range p.nodes { // a set: the order does not show
		if strings.HasPrefix(name, prefix) && !slices.Contains(but, n) {
			list = append(list, n)
		}
	}
	return list
}

// scene is what happens to the network while a job runs.
type scene struct {
	name string
	// cut disturbs the network, and returns when the job may go on to its end; heal is called before that if it is not nil.
	cut  func(ctx context.Context, p *partitioned) (heal func())
	slow bool // left out of short runs
}

var scenes = []scene{
	{name: "the leader is cut off from the other masters", cut: func(ctx context.Context, p *partitioned) func() {
		m := p.leader(ctx)
		p.net.Set(netns.Quality{Cut: true}, []*netns.Node{p.node(m.name)}, p.others("master", p.node(m.name)))
		p.refuses(ctx, m)
		p.otherLeads(ctx, m)
		return nil
	}},
	{name: "the leader hears nothing of the other masters", slow: true, cut: func(ctx context.Context, p *partitioned) func() {
		m := p.leader(ctx)
		p.net.SetOneWay(netns.Quality{Cut: true}, p.others("master", p.node(m.name)), []*netns.Node{p.node(m.name)})
		p.refuses(ctx, m)
		p.otherLeads(ctx, m)
		return nil
	}},
	{name: "the other masters hear nothing of the leader", slow: true, cut: func(ctx context.Context, p *partitioned) func() {
		m := p.leader(ctx)
		p.net.SetOneWay(netns.Quality{Cut: true}, []*netns.Node{p.node(m.name)}, p.others("master", p.node(m.name)))
		p.refuses(ctx, m)
		p.otherLeads(ctx, m)
		return nil
	}},
	{name: "the leader is cut off from all workers", cut: func(ctx context.Context, p *partitioned) func() {
		m := p.leader(ctx)
		p.net.Set(netns.Quality{Cut: true}, []*netns.Node{p.node(m.name)}, p.others("worker"))
		until(ctx, p.t, "the leader has lost all workers", func() bool {
			s, err := p.client.Watch(ctx, &wire.WatchArgs{Job: p.id})
			if err != nil {
				p.t.Fatal(err)
			}
			return s.Workers == 0
		})
		return p.net.Heal
	}},
	{name: "half of the workers are cut off from everything", cut: func(_ context.Context, p *partitioned) func() {
		half := []*netns.Node{p.node("worker-1"), p.node("worker-2")}
		rest := append(p.others("worker", half...), p.others("master")...)
		p.net.Set(netns.Quality{Cut: true}, half, append(rest, p.net.Host))
		return nil
	}},
	{name: "two workers are cut off from each other only", cut: func(_ context.Context, p *partitioned) func() {
		p.net.Set(netns.Quality{Cut: true}, []*netns.Node{p.node("worker-1")}, []*netns.Node{p.node("worker-2")})
		return nil
	}},
	{name: "every cable loses 5 % and takes 200 ms each way", slow: true, cut: func(_ context.Context, p *partitioned) func() {
		all := append(p.others("master"), p.others("worker")...)
		p.net.Set(netns.Quality{Loss: 0.05, Delay: 200 * time.Millisecond}, all, all)
		return nil
	}},
}

// otherLeads waits until another master leads.
func (p *partitioned) otherLeads(ctx context.Context, was *seat) {
	p.t.Helper()
	begun := time.Now()
	until(ctx, p.t, "another master leads", func() bool { return p.leader(ctx) != was })
	p.t.Logf("another master leads %.1f s after the old one was heard to lead no more", time.Since(begun).Seconds())
}

// TestPartitions proves on real networks that whatever cable is cut, a job ends with the oracle's bytes and nothing beside
// them: while a majority of the masters reach each other and the workers, without waiting for the cable to be mended.
func TestPartitions(t *testing.T) {
	ctx := processesWithin(t, 3*killBudget)
	if os.Getenv(binEnv) == "" {
		servers.MinIO(t).Close() // builds it, which needs the machine's own network
	}
	if !netns.Inside(t, binEnv+"="+buildBinary(t)) {
		return
	}
	p := &partitioned{net: netns.New(t, killSeed), nodes: map[string]*netns.Node{}, w: killWordcount(t, smallSize/2)}
	p.k = stage(ctx, t, p.w)
	p.ensemble = startEnsemble(ctx, t, at(p.k.s, p.net.Host.Address), 3, 4, p.node)
	for i, s := range scenes {
		if s.slow && testing.Short() {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			p.t = t
			out := p.k.p.root + "/out-" + string(rune('a'+i))
			p.id = p.submit(ctx, p.w, p.k.options(out, 250_000))
			p.await(ctx, p.id, "some maps are done", func(s *wire.JobStatus) bool { return s.Map.Done >= 3 })
			begun := time.Now()
			if heal := s.cut(ctx, p); heal != nil {
				heal()
			}
			st := p.finish(ctx, p.id)
			t.Logf("the job ended %.1f s after the cut, %d attempts tried again", time.Since(begun).Seconds(), st.Retries)
			p.net.Heal()
			p.k.wantSame(ctx, t, p.w, out)
			until(ctx, t, "all workers are back", func() bool {
				s, err := p.client.Watch(ctx, &wire.WatchArgs{Job: p.id})
				return err == nil && s.Workers == 4
			})
			p.k.wantSame(ctx, t, p.w, out)
		})
		if t.Failed() {
			break
		}
	}
	p.t = t
	p.wantNoTemp()
}

// at makes nodes find a MinIO at a host of this node: it listens on all loopback addresses, and that one is to it.
func at(s *servers.Server, host string) *servers.Server {
	return &servers.Server{
		Endpoint: strings.Replace(s.Endpoint, "127.0.0.1", host, 1), AccessKey: s.AccessKey, SecretKey: s.SecretKey, Region: s.Region,
	}
}
