package records

import (
	"encoding/binary"
	"encoding/json"
	"fmt"

	"github.com/millrace/millrace/jobs/plan"
)

// A plan is a job's spec and its input objects, as the plan was made of them:
//
//	uvarint   length of the spec
//	spec      JSON
//	objects   until the end: uvarint bytes of the URL that are those of the last one's, and the rest; varint size; ETag text; uvarint
//	          input; encoding text

// AppendPlan writes a plan behind b.
func AppendPlan(b []byte, spec *plan.Spec, objects []plan.Object) ([]byte, error) {
	text, err := json.Marshal(spec)
	if err != nil {
		return nil, fmt.Errorf("encode spec: %w", err)
	}
	b = append(binary.AppendUvarint(b, uint64(len(text))), text...)
	var t writerTexts
	last := ""
	for _, o := range objects {
		n := shared(last, o.URL)
		last = o.URL
		b = binary.AppendUvarint(b, uint64(n))
		b = appendString(b, o.URL[n:])
		b = binary.AppendVarint(b, o.Size)
		b = t.appendRest(b, o.ETag)
		b = binary.AppendUvarint(b, uint64(o.Input))
		b = t.appendText(b, o.Encoding, -1)
	}
	return b, nil
}

// ReadPlan reads what AppendPlan has written. With ErrNewer comes as much of the spec as is known here.
func ReadPlan(b []byte) (spec plan.Spec, objects []plan.Object, err error) {
	d := &decoder{b: b, most: maxMade + 64*len(b)} // a long name takes some bytes where the one before is like it
	text := d.bytes()
	if d.err != nil {
		return spec, nil, d.err
	}
	if err := Unmarshal(text, &spec); err != nil {
		return spec, nil, fmt.Errorf("spec: %w", err)
	}
	t := new(texts)
	last := ""
	for len(d.b) > 0 {
		n := d.uvarint()
		if n > uint64(len(last)) {
			d.fail("object %d shares %d bytes with a name of %d", len(objects), n, len(last))
			break
		}
		last = last[:n] + string(d.bytes())
		d.made(len(last))
		o := plan.Object{URL: last, Size: d.varint(), ETag: t.text(d, -1), Input: int(d.uvarint()), Encoding: t.text(d, -1)}
		objects = append(objects, o)
	}
	return spec, objects, d.err
}
