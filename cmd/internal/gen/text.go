package gen

import (
	"math/rand/v2"
	"strings"
)

const (
	vocabularySize = 10_000
	maxLetters     = 15 // of a word: with its length, 16 bytes that are copied in one go
	lineLength     = 70 // bytes after which a line ends with the word
	minSentence    = 4  // words
)

// The most frequent words of English prose, so that the text looks like some.
const frequent = "the of and to in a is that it was for on are as with his they at be this from have or by one had not but " +
	"what all were when we there can an your which their said if do will each about how up out them then she many some so " +
	"these would other into has more her two like him see time could no make than first been its who now people my made " +
	"over did down only way find use may water long little very after words called just where most know"

// vocabulary is the words of a text by rank, and how often each is taken.
type vocabulary struct {
	words [vocabularySize][maxLetters + 1]byte // the letters, and the length in the last byte
	slots [1 << 16]uint16                      // a word's share of the slots is its frequency
}

// newVocabulary returns the same vocabulary each time.
func newVocabulary() *vocabulary {
	v := new(vocabulary)
	rnd := rand.New(rand.NewPCG(1849, 1902))
	seen := map[string]bool{}
	common := strings.Fields(frequent)
	for rank := 0; rank < vocabularySize; {
		var word string
		if rank < len(common) {
			word = common[rank]
		} else {
			word = invent(rnd, rank)
		}
		if len(word) > maxLetters || seen[word] {
			continue
		}
		seen[word] = true
		copy(v.words[rank][:], word)
		v.words[rank][maxLetters] = byte(len(word))
		rank++
	}
	deal(v.slots[:], vocabularySize)
	return v
}

// word returns the word of a rank.
func (v *vocabulary) word(rank int) string {
	w := &v.words[rank]
	return string(w[:w[maxLetters]])
}

// invent makes a word of syllables: the rarer, the more.
func invent(rnd *rand.Rand, rank int) string {
	const begins = "b bl br c ch cl d dr f fl fr g gl gr h j k l m n p pl pr qu r s sh sl sp st str t th tr v w wh"
	const middles = "a e i o u a e i o ai ea ee ou oa"
	const ends = "n r s t l m d ck nd nt rd st x ng"
	syllables := 1
	if rank > 400 {
		syllables += 1 + rnd.IntN(2)*rank/5000
	}
	var b strings.Builder
	for range syllables {
		b.WriteString(pick(rnd, begins))
		b.WriteString(pick(rnd, middles))
	}
	if rnd.IntN(4) > 0 {
		b.WriteString(pick(rnd, ends))
	}
	return b.String()
}

func pick(rnd *rand.Rand, from string) string {
	list := strings.Fields(from)
	return list[rnd.IntN(len(list))]
}

// deal gives the word of rank r about 1/r of the slots of the first, and each at least one. It rounds sums rather than
// shares, so that none of the slots is left.
func deal(slots []uint16, ranks int) {
	var sum, before int
	for rank := range ranks {
		sum += zipf / (rank + 1)
	}
	slot := 0
	for rank := range ranks {
		before += zipf / (rank + 1)
		for end := rank + 1 + (len(slots)-ranks)*before/sum; slot < end; slot++ {
			slots[slot] = uint16(rank)
		}
	}
}

const zipf = 1 << 30 // the weight of the first word, in integers: floats may differ between machines

// fill writes prose to dst; its last line is filled up with spaces. A word takes 32 random bits: 16 choose it, 8 whether
// another one is joined to it, 8 what follows.
func (v *vocabulary) fill(dst []byte, _ int64, rnd *rand.PCG) int {
	const room = 2*(maxLetters+1) + 2 // for a compound, a mark and a space
	at, line, sentence := 0, 0, 0     // of the next byte, of the line's begin, and words so far
	var bits uint64
	for i := 0; len(dst)-at > room; i++ {
		if bits >>= 32; i%2 == 0 {
			bits = rnd.Uint64()
		}
		begin := at
		at += v.put(dst[at:], uint16(bits))
		if byte(bits>>16) == 0 {
			at += v.put(dst[at:], uint16(rnd.Uint64()))
		}
		if sentence == 0 {
			dst[begin] -= 'a' - 'A'
		}
		sentence++
		switch mark := byte(bits >> 24); {
		case mark < 24 && sentence >= minSentence:
			dst[at] = '.'
			at, sentence = at+1, 0
		case mark < 48:
			dst[at] = ','
			at++
		}
		dst[at] = ' '
		if at-line >= lineLength {
			dst[at] = '\n'
			line = at + 1
		}
		at++
	}
	for ; at < len(dst); at++ {
		dst[at] = ' '
	}
	dst[len(dst)-1] = '\n'
	return len(dst)
}

// put copies the word of a slot to dst, which has room for the longest, and returns its length.
func (v *vocabulary) put(dst []byte, slot uint16) int {
	word := &v.words[v.slots[slot]]
	*(*[maxLetters + 1]byte)(dst) = *word
	return int(word[maxLetters])
}
