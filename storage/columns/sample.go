package columns

import (
	"io"
	"math/big"

	"github.com/millrace/millrace/storage/arrowfile"
)

// place is where a piece of a sample is taken from.
type place struct {
	group     int
	from, end int64 // rows of the group
}

// current is the group that a sample goes through: places in it come one after the other.
type current struct {
	group int
	rows  int64           // of the group
	at    int64           // where batch begins in the group
	batch arrowfile.Batch // the last one that was read
	next  int64           // the first row that no place has taken
}

// openPlace finds the rows of the group in which the piece begins.
func (r *Reader) openPlace(p Piece) error {
	f := r.file
	if len(f.order) == 0 {
		return nil
	}
	i := 0
	for i+1 < len(f.order) && f.groups[f.order[i+1]] <= p.Offset {
		i++
	}
	group, end := f.order[i], p.Size
	if i+1 < len(f.order) {
		end = f.groups[f.order[i+1]]
	}
	if f.now == nil || f.now.group != group {
		rows, err := f.table.Read(group)
		if err != nil {
			return err
		}
		f.now = &current{group: group, rows: rows}
	}
	begin, length := f.groups[group], max(1, end-f.groups[group])
	from := max(share(f.now.rows, p.Offset-begin, length), f.now.next)
	n := max(1, share(f.now.rows, p.Length, length))
	r.place = &place{group: group, from: from, end: min(f.now.rows, from+n)}
	f.now.next = r.place.end
	return nil
}

// share is rows × part ÷ whole, at least 0.
func share(rows, part, whole int64) int64 {
	v := new(big.Int).Mul(big.NewInt(rows), big.NewInt(max(0, part)))
	v.Div(v, big.NewInt(whole))
	return min(v.Int64(), rows)
}

// sample returns the rows of the place, as many as the next batch has of them.
func (r *Reader) sample(p Piece) (Block, error) {
	now, at := r.file.now, r.place
	for at.from < at.end {
		if end := now.at + int64(now.batch.Rows); at.from >= end {
			batch, err := r.file.table.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				return Block{}, err
			}
			now.at, now.batch = end, batch
			continue
		}
		from := at.from - now.at
		end := min(at.end-now.at, int64(now.batch.Rows))
		schema := r.file.table.Schema()
		batch, err := schema.Slice(now.batch, int(from), int(end), arrowfile.NewBudget(r.file.budget.Limit()))
		if err != nil {
			return Block{}, err
		}
		row, err := r.file.table.Row(now.group)
		if err != nil {
			return Block{}, err
		}
		b := Block{URL: p.URL, Input: p.Input, Row: row + at.from, Schema: schema, Batch: batch}
		at.from = now.at + end
		return b, nil
	}
	return Block{}, errPieceEnd
}
