package master

import (
	"context"
	"errors"

	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/master/records"
)

// blocksAhead is how many blocks are opened ahead of the one that is replayed: some, since they differ in length. Each may have a
// thousand records and more, decoded.
const blocksAhead = 4

// block is a block of a log, opened. far and err are those of openBlock; tasks is what one of tasks says, decoded.
type block struct {
	kind  records.Kind
	body  []byte
	tasks *records.Batch
	far   *bulk
	err   error
}

// eachBlock opens the blocks of a log and hands them to do, in their order, until it returns an error. While one is replayed, those
// behind it are opened: of a million tasks that is half of the work.
func (m *Master) eachBlock(ctx context.Context, l *log, do func(i int, b block) error) error {
	g, ctx := errgroup.WithContext(ctx)
	opened, free := make(chan block, blocksAhead), make(chan *records.Batch, blocksAhead+1)
	for range cap(free) {
		free <- nil
	}
	g.Go(func() error {
		defer close(opened)
		return m.openBlocks(ctx, l, opened, free)
	})
	g.Go(func() error {
		i := 0
		for b := range opened {
			m.load.move()
			if err := do(i, b); err != nil {
				return err
			}
			if b.tasks != nil {
				free <- b.tasks
			}
			i++
		}
		return nil
	})
	return g.Wait()
}

func (m *Master) openBlocks(ctx context.Context, l *log, opened chan<- block, free <-chan *records.Batch) error {
	tasks := records.NewReader(l.id)
	for i, packed := range l.blocks {
		b := block{kind: l.kind, body: l.doc, far: l.far}
		if i > 0 {
			b.kind, b.body, b.far, b.err = m.openBlock(ctx, packed)
		}
		if b.err == nil && b.kind == records.Tasks {
			select {
			case b.tasks = <-free:
			case <-ctx.Done():
				return ctx.Err()
			}
			if b.tasks == nil {
				b.tasks = new(records.Batch)
			}
			b.err = tasks.Read(b.body, b.tasks)
		}
		select {
		case opened <- b:
		case <-ctx.Done():
			return ctx.Err()
		}
		if b.err != nil && !errors.Is(b.err, errBulk) {
			return nil // who replays it does not go on either
		}
	}
	return nil
}
