package jobs

import (
	"bytes"
	"fmt"
	"io"
)

// Cutting sorted batches into pairs and groups. CutPair, with a comparison of keys for each pair, is the plain reference
// (TestGroups): with it a group of one pair took 70 ns, and takes 50 here, the user's function and its row included.

// groups walks the pairs of sorted batches, across their borders, and tells where a key ends.
type groups struct {
	fetch   func() ([]byte, error) // the next batch, or io.EOF
	ordered bool                   // keys go on behind that of the group, which is none's beginning but its own: see OrderBy

	rest  []byte // of the batch, behind the current pair
	at    []byte // key of the current pair; nil before the first one of a batch
	data  []byte // value of the current pair
	key   []byte // of the current group
	same  bool   // the current pair belongs to the current group
	have  bool   // the current pair is not consumed yet
	ended bool   // no pair is left
	pairs int64  // so far, the current one included
}

// advance goes to the next pair.
func (g *groups) advance() error {
	b := g.rest
	if len(b) < 2 || (b[0]|b[1]) >= 0x80 {
		return g.advanceSlow()
	}
	h, v := int(b[0]), int(b[1])
	b = b[2:]
	if h > 0 {
		if h--; h+v > len(b) {
			return fmt.Errorf("reduce: %w", ErrPairs)
		}
		g.at = b[:h:h]
		if g.same = string(g.at) == string(g.key); g.ordered {
			g.same = bytes.HasPrefix(g.at, g.key)
		}
		b = b[h:]
	} else if v > len(b) || g.at == nil {
		return fmt.Errorf("reduce: %w", ErrPairs)
	}
	g.data, g.rest, g.have = b[:v:v], b[v:], true
	g.pairs++
	return nil
}

// advanceSlow is advance for the first pair of a batch, and for headers of more than two bytes.
func (g *groups) advanceSlow() error {
	for len(g.rest) == 0 {
		batch, err := g.fetch()
		if err == io.EOF {
			g.ended, g.same = true, false
			return nil
		}
		if err != nil {
			return err
		}
		g.rest, g.at = batch, nil // the first pair of a batch spells out its key
	}
	key, value, rest, err := CutPair(g.rest, g.at)
	if err != nil {
		return fmt.Errorf("reduce: %w", err)
	}
	if g.same = string(key) == string(g.key); g.ordered {
		g.same = bytes.HasPrefix(key, g.key)
	}
	g.at, g.data, g.rest, g.have = key, value, rest, true
	g.pairs++
	return nil
}
