package state

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/master/etcdha/member"
	"github.com/millrace/millrace/master/wire"
)

var abc, _ = ParseMasters([]string{"a:1", "b:1", "c:1"})

// reply is what a master says of itself: "new" with an identity, "member", or "founding" with those it has decided for.
func reply(address, says string) *wire.MeetReply {
	r := &wire.MeetReply{Address: address, Masters: texts(abc)}
	stage, rest, _ := strings.Cut(says, " ")
	switch stage {
	case "silent":
		return nil
	case "new":
		r.Stage, r.Master = wire.StageNew, rest
	case "other-list":
		r.Stage, r.Masters = wire.StageNew, []string{"a:1/2", "b:1/2", "d:1/2"}
	case "other-address":
		r.Stage, r.Address = wire.StageNew, "x:1"
	case "member":
		r.Stage = wire.StageMember
	case "founding", "founding-with-others":
		r.Stage = wire.StageFounding
		if stage != "founding" {
			r.Masters = []string{"a:1/2", "b:1/2", "d:1/2"}
		}
		for i, id := range strings.Fields(rest) {
			r.Founders = append(r.Founders, wire.Founder{Address: abc[i].Name, Master: id})
		}
	}
	return r
}

// What a new master, a1, does, for what the two others say.
func TestDecide(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ b, c, want string }{
		{"new b1", "new c1", "found a1 b1 c1"}, // for they say it twice
		{"new b1", "silent", "wait: c:1 does not answer"},
		{"silent", "silent", "wait: b:1 and c:1 does not answer"},
		{"member", "member", "join b:1 c:1"},
		{"member", "silent", "join b:1"},
		{"new b1", "member", "join c:1"},
		{"member", "founding a1 b1 c1", "join b:1"},
		{"founding a1 b1 c1", "new c1", "found a1 b1 c1"},
		{"founding a1 b1 c1", "silent", "found a1 b1 c1"},
		{"founding a0 b1 c1", "new c1", "wait: data directory of this master before"},
		{"founding a0 b1 c1", "silent", "wait: data directory of this master before"},
		{"founding a0 b1 c1", "founding a1 b0 c1", "found a1 b0 c1"}, // c1's own decision: that of b1 can never come to be
		{"other-list", "new c1", "wait: b:1 is b:1 and was told --masters a:1/2,b:1/2,d:1/2"},
		{"other-address", "new c1", "wait: b:1 is x:1"},
		{"other-list", "silent", "wait: not told the same"},
		{"founding-with-others a1 b1 c1", "new c1", "wait: b:1 is b:1 and was told --masters a:1/2,b:1/2,d:1/2"},
	} {
		look := search{self: member.Founder{Address: "a:1", Master: "a1"}, masters: abc}
		replies := map[string]*wire.MeetReply{"b:1": reply("b:1", c.b), "c:1": reply("c:1", c.c)}
		d := look.decide(replies)
		if d.propose != nil {
			d = look.decide(replies)
		}
		got := "wait: " + d.wait
		if d.join != nil {
			got = "join " + strings.Join(d.join, " ")
		}
		if d.found != nil {
			got = "found"
			for _, f := range d.found {
				got += " " + f.Master
			}
		}
		if rest, waits := strings.CutPrefix(c.want, "wait: "); waits && strings.HasPrefix(got, "wait: ") && strings.Contains(got, rest) {
			continue
		}
		if got != c.want {
			t.Errorf("b says %q, c says %q: %s, want %s", c.b, c.c, got, c.want)
		}
	}
}

// A master that has decided with whom it founds a cluster and was told of others then is refused: by that list etcd would begin another one.
func TestFoundersAndList(t *testing.T) {
	t.Parallel()
	all, masters := houses(t, 3)
	slices.SortFunc(masters, func(a, b member.Peer) int { return strings.Compare(a.Name, b.Name) })
	var founders []member.Founder
	for i, p := range masters {
		founders = append(founders, member.Founder{Address: p.Name, Master: fmt.Sprint(i)})
	}
	slices.Reverse(masters)
	if err := checkList(founders, masters); err != nil {
		t.Errorf("the same list, in another order: %v", err)
	}
	founders[2].Address = "z:1"
	d, err := member.OpenDir(all[0].dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(d.SetFounders(founders), d.Close()); err != nil {
		t.Fatal(err)
	}
	x := all[0].move(t, masters)
	if err := <-x.open; err == nil || !strings.Contains(err.Error(), "z:1") || !strings.Contains(err.Error(), all[0].dir) {
		t.Errorf("founders that are not the list's: %v, want an error with both", err)
	}
}

// A cluster is founded when the others say twice that they are new, and are the same both times.
func TestAsksTwice(t *testing.T) {
	t.Parallel()
	look := search{self: member.Founder{Address: "a:1", Master: "a1"}, masters: abc}
	for i, b := range []string{"new b1", "new b2", "silent", "new b2", "new b2"} {
		d := look.decide(map[string]*wire.MeetReply{"b:1": reply("b:1", b), "c:1": reply("c:1", "new c1")})
		if founds := d.found != nil; founds != (i == 4) {
			t.Errorf("answer %d, %q: founds %v", i+1, b, founds)
		}
	}
}

// A master that may not found a cluster, since the bucket of snapshots has one, does not by its own decision; but it follows the
// example of one that has decided, for that one was free to, and joins a cluster that there is.
func TestBarred(t *testing.T) {
	t.Parallel()
	for says, want := range map[string]string{"new b1": "barred", "founding a1 b1 c1": "found", "member": "join", "silent": "wait"} {
		look := search{self: member.Founder{Address: "a:1", Master: "a1"}, masters: abc}
		replies := map[string]*wire.MeetReply{"b:1": reply("b:1", "new b1"), "c:1": reply("c:1", "new c1")}
		if d := look.decide(replies); d.propose == nil {
			t.Fatalf("the first answers: %+v", d)
		}
		look.barred = errors.New("there is one")
		replies["b:1"] = reply("b:1", says)
		d := look.decide(replies)
		got := map[string]bool{"barred": d.barred != nil, "found": d.found != nil, "join": d.join != nil, "wait": d.wait != ""}
		for what, is := range got {
			if is != (what == want) {
				t.Errorf("b says %q: %+v, want %s alone", says, d, want)
			}
		}
	}
}

// site is a master in the walk below.
type site struct {
	n       int // directories that it has had
	look    search
	heard   map[string]*wire.MeetReply
	decided []member.Founder // nil: new
}

// sites are all masters, and the clusters that had a majority.
type sites struct {
	all   []site
	stood map[string]map[int]bool // a decision -> those with their first directories whose majority it had
}

func (w *sites) empty(i int) {
	for _, s := range w.stood {
		delete(s, i)
	}
	self := member.Founder{Address: abc[i].Name, Master: fmt.Sprint(w.all[i].n)}
	w.all[i] = site{n: w.all[i].n + 1, look: search{self: self, masters: abc}, heard: map[string]*wire.MeetReply{}}
}

// ask lets i hear what j says now.
func (w *sites) ask(i, j int) {
	r := &wire.MeetReply{Stage: wire.StageNew, Address: abc[j].Name, Master: w.all[j].look.self.Master, Masters: texts(abc)}
	if w.all[j].decided != nil {
		r.Stage = wire.StageFounding
		for _, f := range w.all[j].decided {
			r.Founders = append(r.Founders, wire.Founder(f))
		}
	}
	w.all[i].heard[abc[j].Name] = r
}

// act lets i do what follows from what it has heard since it did so before.
func (w *sites) act(i int) {
	s := &w.all[i]
	d := s.look.decide(s.heard)
	s.heard = map[string]*wire.MeetReply{}
	if d.found != nil {
		s.decided = d.found
	}
}

// check looks for a second cluster, and notes the first.
func (w *sites) check(t *testing.T, seed uint64) {
	t.Helper()
	holders := map[string]map[int]bool{}
	for i, s := range w.all {
		if s.decided != nil {
			if !slices.Contains(s.decided, s.look.self) {
				t.Fatalf("seed %d: %v founds %v, without being named", seed, s.look.self, s.decided)
			}
			key := fmt.Sprint(s.decided)
			if holders[key] == nil {
				holders[key] = map[int]bool{}
			}
			holders[key][i] = true
		}
	}
	for f, of := range holders {
		if len(of) < 2 || w.stood[f] != nil {
			continue
		}
		for g, left := range w.stood {
			if len(left) > 0 { // some know what was decided and written there
				t.Fatalf("seed %d: %s is a cluster, and so was %s, of which %v are left", seed, f, g, left)
			}
		}
		w.stood[f] = of
	}
}

// However questions, decisions and losses of directories follow each other, there is no second cluster while a directory of the
// majority that made the first is left.
func TestNoTwoClusters(t *testing.T) {
	t.Parallel()
	stood := 0
	for seed := range uint64(5_000) {
		rnd := rand.New(rand.NewPCG(seed, 5))
		w := &sites{all: make([]site, 3), stood: map[string]map[int]bool{}}
		for i := range w.all {
			w.empty(i)
		}
		for range 40 {
			i := rnd.IntN(3)
			switch n := rnd.IntN(20); {
			case n == 0:
				w.empty(i)
			case w.all[i].decided != nil:
			case n < 15:
				w.ask(i, (i+1+rnd.IntN(2))%3)
			default:
				w.act(i)
			}
			w.check(t, seed)
		}
		stood += len(w.stood)
	}
	if stood < 200 {
		t.Errorf("only %d clusters were founded: it proves little", stood)
	}
}
