package etcdha

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/master/journal"
)

// goldenEntry is what version 1 makes of entry 258, second of its write, with two records: stores hold such values.
const goldenEntry = "0000000000000102" + "01" + "6e6f6e63656e6f6e" + "01" + "02" + "026869" + "00" + "a9cd12c6"

// Proves that the format of entries is what it was: a golden value is written and read.
func TestEntryGolden(t *testing.T) {
	t.Parallel()
	got := encodeEntry(258, [8]byte([]byte("noncenon")), 1, [][]byte{[]byte("hi"), {}})
	if hex.EncodeToString(got) != goldenEntry {
		t.Errorf("got  %x\nwant %s", got, goldenEntry)
	}
	d, err := decodeEntry(got)
	if err != nil || d.seq != 258 || d.place != 1 || len(d.records) != 2 || string(d.records[0]) != "hi" || len(d.records[1]) != 0 {
		t.Errorf("decoded %+v, %v", d, err)
	}
	if some := encodeEntry(259, [8]byte{}, 0, nil); bytes.Compare(some, got) <= 0 {
		t.Error("values are not ordered as entries are")
	}
}

// Proves that every damage to a value is noticed, and that a newer format is told apart from damage.
func TestEntryDamaged(t *testing.T) {
	t.Parallel()
	good := encodeEntry(1, nonce(), 0, [][]byte{[]byte("one"), []byte("two")})
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0x40
		if _, err := decodeEntry(bad); err == nil {
			t.Errorf("byte %d changed: no error", i)
		}
		if _, err := decodeEntry(good[:i]); err == nil {
			t.Errorf("cut after %d bytes: no error", i)
		}
	}
	newer := bytes.Clone(good[:len(good)-4])
	newer[8] = entryVersion + 1
	if _, err := decodeEntry(seal(newer)); err == nil || !strings.Contains(err.Error(), "newer") {
		t.Errorf("a newer format: got %v", err)
	}
}

// seal adds the checksum, so that what is before it is looked at.
func seal(body []byte) []byte {
	return binary.BigEndian.AppendUint32(bytes.Clone(body), crc32.Checksum(body, castagnoli))
}

// Proves that no value makes the decoder panic or take memory that the value does not pay for, and that what it accepts
// holds the same when it is encoded again.
func FuzzEntry(f *testing.F) {
	f.Add(encodeEntry(3, [8]byte{1}, 2, [][]byte{[]byte("a"), {}, bytes.Repeat([]byte("b"), 300)})[:entryFixed])
	golden, _ := hex.DecodeString(goldenEntry)
	f.Add(golden[:len(golden)-4])
	f.Add(binary.AppendUvarint(append(golden[:entryFixed:entryFixed], 0), 1<<62)) // more records than bytes
	f.Fuzz(func(t *testing.T, body []byte) {
		d, err := decodeEntry(seal(body))
		if err != nil {
			return
		}
		again, err := decodeEntry(encodeEntry(d.seq, [8]byte{}, int(d.place), d.records))
		if err != nil || again.seq != d.seq || int(again.place) != int(d.place) || !slices.EqualFunc(again.records, d.records, bytes.Equal) {
			t.Errorf("%x: decoded %+v, again %+v, %v", body, d, again, err)
		}
	})
}

// Proves that a job's keys are its own whatever its id, and that they are read as they were made.
func TestKeys(t *testing.T) {
	t.Parallel()
	k := keys{"/m/"}
	ids := []journal.JobID{"", "a", "a/", "a/0", "ab", "!", "%2F", "..", "ä b", "a\x00b", "a0"}
	for _, id := range ids {
		for _, seq := range []uint64{0, 9, 10, 1 << 63} {
			if p, err := k.parse([]byte(k.entry(id, seq))); err != nil || p != (place{id, seq, false}) {
				t.Errorf("job %q entry %d: parsed %+v, %v", id, seq, p, err)
			}
			if key := k.entry(id, seq); key <= k.swap(id) || key < k.job(id) || key >= end(k.job(id)) {
				t.Errorf("key %q is out of its place", key)
			}
		}
		if p, err := k.parse([]byte(k.swap(id))); err != nil || p != (place{id, 0, true}) {
			t.Errorf("job %q: parsed %+v, %v", id, p, err)
		}
		for _, other := range ids {
			if key := k.entry(other, 0); other != id && key >= k.job(id) && key < end(k.job(id)) {
				t.Errorf("a key of job %q lies among those of %q", other, id)
			}
		}
	}
	for _, key := range []string{"/m/jobs/a", "/m/jobs/a/", "/m/jobs/a/1", "/m/jobs/a/000000000000000G", "/m/jobs/a/b/0000000000000000", "/m/jobs/%zz/!"} {
		if p, err := k.parse([]byte(key)); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%q: parsed %+v, %v; want an error that names it", key, p, err)
		}
	}
}

// Proves that a term's value is read as it was written, and that nothing else is read as one.
func TestTermValue(t *testing.T) {
	t.Parallel()
	for _, v := range []termValue{{1, 0}, {1, 1}, {maxTerm, 12}} {
		if got, err := parseTerm(v.String()); err != nil || got != v {
			t.Errorf("%s: got %v, %v", v, got, err)
		}
	}
	for _, text := range []string{"", "x", "-1", "1.", ".1", "1.0", "01", "1.2.3", "1 ", "18446744073709551615"} {
		if v, err := parseTerm(text); err == nil {
			t.Errorf("%q was read as %v", text, v)
		}
	}
}
