package command

import (
	"bytes"
	"io"
	"strconv"

	"github.com/millrace/millrace/jobs"
)

// inputChunk is how much of a command's input is made at a time, of pairs.
const inputChunk = 256 << 10

// groups are sorted pairs on their way to a command's standard input.
type groups struct {
	task  *jobs.Task
	in    jobs.PairSource
	batch []byte    // of the source, what is left
	prev  []byte    // the key of the pair before in the batch; nil: none
	key   []byte    // of the group
	pairs int64     // of the group
	any   bool      // there is a group
	bufs  [2][]byte // for the commands: one is read while the other is filled
	turn  int
	top   jobs.HotKeys
}

// next is more lines, or io.EOF. They are good until the call after the next one.
func (g *groups) next() ([]byte, error) {
	buf := g.bufs[g.turn][:0]
	for len(buf) < inputChunk {
		if len(g.batch) == 0 {
			batch, err := g.in.Next()
			if err == io.EOF && len(buf) > 0 {
				break
			}
			if err != nil {
				return nil, err
			}
			g.batch, g.prev = batch, nil
			continue
		}
		key, value, rest, err := jobs.CutPair(g.batch, g.prev)
		if err != nil {
			return nil, err
		}
		if !g.any || !bytes.Equal(key, g.key) {
			g.begin(key)
		}
		g.pairs++
		g.task.Records++
		buf = appendLines(buf, key, value)
		g.batch, g.prev = rest, key
	}
	g.bufs[g.turn] = buf
	g.turn = 1 - g.turn
	return buf, nil
}

// begin ends a group and begins another one.
func (g *groups) begin(key []byte) {
	g.endGroup()
	g.key, g.pairs, g.any = append(g.key[:0], key...), 0, true
	g.task.Groups++
}

func (g *groups) endGroup() {
	if g.any {
		g.top.Add(g.key, g.pairs)
	}
	g.any = false
}

// skip goes to the end of the pairs: those that a reducer does not read are counted, too.
func (g *groups) skip() error {
	for {
		if _, err := g.next(); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// hot are the keys with the most pairs, when there are no more.
func (g *groups) hot() []jobs.HotKey {
	g.endGroup()
	return g.top.List(func(key []byte) string { return strconv.Quote(string(key)) })
}
