package state

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace/master/etcdha/member"
	"github.com/millrace/millrace/master/wire"
)

// decision is what a master with an empty data directory does after it has asked the others who they are.
type decision struct {
	join    []string         // one of these lets it join
	found   []member.Founder // it founds a cluster with these
	barred  error            // it would found one by its own decision, and may not
	propose []member.Founder // it will, if the next answers say the same
	wait    string           // none of these, for this reason
}

// search is a new master's way to a decision.
type search struct {
	self     member.Founder
	masters  []member.Peer
	proposed []member.Founder // what the answers before these would have it found
	barred   error            // why it may not; found out after those answers, and before these were asked for
}

// decide is the rule by which masters become one cluster; see the package comment. replies are the answers of the others to
// questions that were asked after decide returned the last time; those that do not answer are missing.
func (s *search) decide(replies map[string]*wire.MeetReply) decision {
	d := s.judge(replies)
	if d.propose == nil || !slices.Equal(d.propose, s.proposed) {
		s.proposed = d.propose
		return d
	}
	if s.barred != nil {
		return decision{barred: s.barred}
	}
	return decision{found: d.propose}
}

// judge says what one round of answers means.
func (s *search) judge(replies map[string]*wire.MeetReply) decision {
	var d decision
	var absent, otherwise []string
	founders := []member.Founder{s.self}
	var founding [][]member.Founder
	for _, p := range s.masters {
		r := replies[p.Name]
		same := r != nil && slices.Equal(r.Masters, texts(s.masters))
		switch {
		case p.Name == s.self.Address:
		case r == nil:
			absent = append(absent, p.Name)
		case r.Stage == wire.StageMember:
			d.join = append(d.join, p.Name)
		case r.Stage == wire.StageFounding && same:
			founding = append(founding, foundersOf(r.Founders))
		case r.Stage == wire.StageNew && r.Address == p.Name && same:
			founders = append(founders, member.Founder{Address: r.Address, Master: r.Master})
		default:
			otherwise = append(otherwise, fmt.Sprintf("%s is %s and was told --masters %s", p.Name, r.Address, strings.Join(r.Masters, ",")))
		}
	}
	switch {
	case d.join != nil:
		return d
	case founding != nil:
		for _, f := range founding {
			if slices.Contains(f, s.self) {
				return decision{found: f}
			}
		}
		return decision{wait: "others found a cluster with what was in the data directory of this master before: it joins them when more than half of these run"}
	case otherwise != nil:
		return decision{wait: "the masters were not told the same: " + strings.Join(otherwise, "; ")}
	case absent != nil:
		return decision{wait: "a new cluster is founded when all of its masters run: " + strings.Join(absent, " and ") + " does not answer yet"}
	}
	slices.SortFunc(founders, func(a, b member.Founder) int { return strings.Compare(a.Address, b.Address) })
	return decision{propose: founders}
}

func foundersOf(told []wire.Founder) (f []member.Founder) {
	for _, x := range told {
		f = append(f, member.Founder{Address: x.Address, Master: x.Master})
	}
	return f
}

// checkList refuses a list of masters that is not of those with whom a cluster is founded: etcd would begin another cluster by it,
// and never find the others.
func checkList(founders []member.Founder, masters []member.Peer) error {
	var decided, told []string
	for _, f := range founders {
		decided = append(decided, f.Address)
	}
	for _, p := range masters {
		told = append(told, p.Name)
	}
	slices.Sort(told) // as founders are
	if slices.Equal(decided, told) {
		return nil
	}
	return fmt.Errorf("it has begun to found a cluster of the masters %s, and was told --masters %s: start it with those, and replace masters when the cluster is there; "+
		"or empty the folders of all, if nothing was kept there yet", strings.Join(decided, ","), strings.Join(told, ","))
}

// token tells a cluster from every other that masters at the same addresses found.
func token(founders []member.Founder) (string, error) {
	data, err := json.Marshal(founders)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:16]), nil
}
