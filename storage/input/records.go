package input

import "context"

// fixed sends the piece as blocks of as many whole records as fit.
func (o *object) fixed(ctx context.Context, length int, opts Options) error {
	o.until = o.piece.end() // one request
	size := max(1, opts.BlockSize/length) * length
	for o.pos < o.piece.end() {
		off := o.pos
		data := fresh(int(min(int64(size), o.piece.end()-off)))
		if err := o.fill(ctx, data); err != nil {
			return err
		}
		if err := o.send(off, data); err != nil {
			return err
		}
	}
	return nil
}

// whole sends the object as one block. An empty one is a record too.
func (o *object) whole(ctx context.Context) error {
	data := fresh(int(o.piece.Size))
	if err := o.fill(ctx, data); err != nil {
		return err
	}
	return o.send(0, data)
}
