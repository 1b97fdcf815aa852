package shuffle

import "sync"

// Buffers keeps what a writer needs no more for those after it on the same worker: new memory costs its zeros, and a page
// fault for each 4 KiB the first time. It holds nothing for good: what no writer takes, the garbage collector does. The zero
// value is ready; any number of writers may use it.
type Buffers struct {
	batches sync.Pool // of *[]byte, empty
	entries sync.Pool // of *sortArrays
}

// sortArrays are a writer's entries and what it sorts them through.
type sortArrays struct{ entries, scratch []entry }

// batch returns an empty batch of a capacity.
func (b *Buffers) batch(size int) []byte {
	if kept, ok := b.batches.Get().(*[]byte); ok && cap(*kept) == size {
		return *kept
	}
	return make([]byte, 0, size)
}

// keepBatches takes batches that nobody refers to any more.
func (b *Buffers) keepBatches(list [][]byte, size int) {
	for _, data := range list {
		if cap(data) == size {
			data = data[:0]
			b.batches.Put(&data)
		}
	}
}

// arrays returns empty entries, of no capacity if none are kept that are accepted.
func (b *Buffers) arrays(accept func(entries int) bool) sortArrays {
	kept, ok := b.entries.Get().(*sortArrays)
	if !ok || !accept(cap(kept.entries)) {
		return sortArrays{}
	}
	return *kept
}

func (b *Buffers) keepArrays(a sortArrays) {
	if cap(a.entries) > 0 {
		b.entries.Put(&sortArrays{a.entries[:0], a.scratch})
	}
}
