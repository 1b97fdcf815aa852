package records

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"strings"
)

// The forms of a text, see the package's comment.
const (
	formPrefix = 0
	formRest   = 1
	formHex    = 2
	formIndex  = 3
)

// References to texts that were before.
const (
	refNew   = 0
	refEmpty = 1
	refFirst = 2
)

// References of suffixes.
const (
	suffixEmpty = 0
	suffixNew   = 1
)

// Bounds of what is remembered of a job's texts: those of an honest job are some for each worker and counter. When they are
// reached, the rest is written out each time.
const (
	maxTexts     = 1 << 16
	maxTextBytes = 4 << 20
	maxText      = 4 << 10 // bytes of one that is remembered
)

// texts are those that can be referred to, by the order in which they were new.
type texts struct {
	list  []string
	bytes int
}

func (t *texts) fits(s string) bool {
	return len(t.list) < maxTexts && len(s) <= maxText && t.bytes+len(s) <= maxTextBytes
}

func (t *texts) add(s string) {
	t.list = append(t.list, s)
	t.bytes += len(s)
}

// writerTexts also finds them.
type writerTexts struct {
	texts
	at map[string]int
}

// ref returns what a text is referred to by, and whether it is to be written behind that. knows has said that it can be remembered.
func (t *writerTexts) ref(s string) (ref uint64, isNew bool) {
	if s == "" {
		return refEmpty, false
	}
	if i, ok := t.at[s]; ok {
		return uint64(i + refFirst), false
	}
	if t.at == nil {
		t.at = map[string]int{}
	}
	s = strings.Clone(s) // it may be a part of something longer
	t.at[s] = len(t.list)
	t.add(s)
	return refNew, true
}

// knows says whether all of two texts' references can be made.
func (t *writerTexts) knows(prefix, suffix string) bool {
	n, bytes := 0, 0
	for _, s := range [...]string{prefix, suffix} {
		if _, ok := t.at[s]; !ok && s != "" {
			n, bytes = n+1, bytes+len(s)
		}
	}
	return len(t.list)+n <= maxTexts && t.bytes+bytes <= maxTextBytes && len(prefix) <= maxText && len(suffix) <= maxText
}

// appendText writes a text of which whatever repeats is remembered. index is that of its attempt, which it may name.
func (t *writerTexts) appendText(b []byte, s string, index int) []byte {
	if i, ok := t.at[s]; ok {
		return binary.AppendUvarint(b, uint64(i+refFirst)<<2|formPrefix)
	}
	if at := hexRun(s); at >= 0 && t.knows(s[:at], s[at+32:]) {
		b = t.appendPrefix(b, s[:at], formHex)
		b, _ = hex.AppendDecode(b, []byte(s[at:at+32])) // hexRun has looked
		return t.appendSuffix(b, s[at+32:])
	}
	if at, n := numberAt(s, index); at >= 0 && t.knows(s[:at], s[at+n:]) {
		return t.appendSuffix(t.appendPrefix(b, s[:at], formIndex), s[at+n:])
	}
	cut := strings.LastIndexByte(s, '/') + 1
	switch {
	case (cut == 0 || cut == len(s)) && t.knows(s, ""): // a name
		return t.appendPrefix(b, s, formPrefix)
	case !t.knows(s[:cut], ""):
		cut = 0
	}
	return appendString(t.appendPrefix(b, s[:cut], formRest), s[cut:])
}

func (t *writerTexts) appendPrefix(b []byte, s string, form uint64) []byte {
	ref, isNew := t.ref(s)
	b = binary.AppendUvarint(b, ref<<2|form)
	if isNew {
		b = appendString(b, s)
	}
	return b
}

func (t *writerTexts) appendSuffix(b []byte, s string) []byte {
	ref, isNew := t.ref(s)
	switch {
	case s == "":
		return append(b, suffixEmpty)
	case isNew:
		return appendString(append(b, suffixNew), s)
	}
	return binary.AppendUvarint(b, ref)
}

// hexRun finds 32 of a text's characters that are hexadecimal digits, in small letters, and have no other before or behind them;
// -1 if there are none.
func hexRun(s string) int {
	run := 0
	for i := len(s) - 1; i >= 0; i-- {
		if c := s[i]; c >= '0' && c <= '9' || c >= 'a' && c <= 'f' {
			run++
			continue
		}
		if run == 32 {
			return i + 1
		}
		run = 0
	}
	if run == 32 {
		return 0
	}
	return -1
}

// appendRest writes a text of which nothing repeats but its form.
func (t *writerTexts) appendRest(b []byte, s string) []byte {
	if hexRun(s) >= 0 {
		return t.appendText(b, s, -1)
	}
	return appendString(append(b, refEmpty<<2|formRest), s)
}

// numberAt finds an index as the names of tasks have it, of five digits or more: where, and how many.
func numberAt(s string, index int) (at, n int) {
	if index < 0 {
		return -1, 0
	}
	var digits [24]byte
	number := appendNumber(digits[:0], index)
	return strings.LastIndex(s, string(number)), len(number)
}

func appendNumber(b []byte, index int) []byte {
	for least := 10_000; index < least && least > 1; least /= 10 {
		b = append(b, '0')
	}
	return strconv.AppendInt(b, int64(index), 10)
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// text reads what appendText has written.
func (t *texts) text(d *decoder, index int) string {
	v := d.uvarint()
	prefix := t.refer(d, v>>2)
	switch v & 3 {
	case formPrefix:
		return prefix
	case formRest:
		return t.join(d, prefix, d.bytes(), "")
	case formHex:
		raw := d.take(16)
		var digits [32]byte
		hex.Encode(digits[:], raw)
		return t.join(d, prefix, digits[:], t.suffix(d))
	default: // formIndex: there is no other
		if index < 0 {
			d.fail("a name with the number %d", index)
			return ""
		}
		var digits [24]byte
		return t.join(d, prefix, appendNumber(digits[:0], index), t.suffix(d))
	}
}

func (t *texts) join(d *decoder, prefix string, middle []byte, suffix string) string {
	d.made(len(prefix) + len(suffix))
	if d.err != nil {
		return ""
	}
	var b strings.Builder
	b.Grow(len(prefix) + len(middle) + len(suffix))
	b.WriteString(prefix)
	b.Write(middle)
	b.WriteString(suffix)
	return b.String()
}

// refer returns the text that a reference means, and remembers a new one.
func (t *texts) refer(d *decoder, ref uint64) string {
	switch {
	case ref == refNew:
		return t.fresh(d)
	case ref == refEmpty:
		return ""
	case ref-refFirst >= uint64(len(t.list)):
		d.fail("a reference to text %d of %d", ref-refFirst, len(t.list))
		return ""
	}
	return t.list[ref-refFirst]
}

func (t *texts) suffix(d *decoder) string {
	switch v := d.uvarint(); {
	case v == suffixEmpty:
		return ""
	case v == suffixNew:
		return t.fresh(d)
	default:
		return t.refer(d, v)
	}
}

func (t *texts) fresh(d *decoder) string {
	s := string(d.bytes())
	if !t.fits(s) {
		d.fail("more texts than are remembered")
		return ""
	}
	t.add(s)
	return s
}

// shared is how many bytes two texts have in common at their beginning.
func shared(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// maxMade bounds the bytes that references make of a body: of an honest one some megabytes.
const maxMade = 64 << 20

// decoder reads a body. After its first error it reads zeros.
type decoder struct {
	b    []byte
	size int // of what references made
	most int // that may be; 0: maxMade
	err  error
}

func (d *decoder) made(n int) {
	if d.size += n; d.size > cmp.Or(d.most, maxMade) {
		d.fail("its references make more than %d bytes", cmp.Or(d.most, maxMade))
	}
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = damaged(format, args...)
	}
	d.b = nil
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail("a number is cut off or too large")
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail("a number is cut off or too large")
		return 0
	}
	d.b = d.b[n:]
	return v
}

// take returns the next n bytes; of a body that ends before, zeros.
func (d *decoder) take(n int) []byte {
	if n > len(d.b) {
		d.fail("%d bytes are announced, %d are left", n, len(d.b))
		return make([]byte, min(n, 16))
	}
	b := d.b[:n]
	d.b = d.b[n:]
	return b
}

func (d *decoder) bytes() []byte {
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.fail("%d bytes are announced, %d are left", n, len(d.b))
		return nil
	}
	return d.take(int(n))
}

// count reads how many things of least bytes each follow.
func (d *decoder) count(least int) int {
	n := d.uvarint()
	if n > uint64(len(d.b)/least) {
		d.fail("%d things are announced, in %d bytes", n, len(d.b))
		return 0
	}
	return int(n)
}

func (d *decoder) clone() []byte { return bytes.Clone(d.bytes()) }
