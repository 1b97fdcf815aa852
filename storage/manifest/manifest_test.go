package manifest

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

// A manifest survives its encoding, field by field.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	want := &Manifest{
		Version: Version, ID: "a1", Job: "wordcount", Params: map[string]string{"lower": "true"}, Program: "builtin",
		Inputs: Inputs{URLs: []string{"s3://b/*"}, Objects: 2, Bytes: 7, Records: 3, Listed: []Input{{"s3://b/x", 7, "e", 1}}, Digest: "d",
			Named: []NamedInput{{"left", []string{"s3://b/*"}, 2, 7}}, Exclude: []string{"*.tmp"}},
		Schema:   json.RawMessage(`{"fields":[]}`),
		Spec:     json.RawMessage(`{"Job":"wordcount"}`),
		Parts:    []Part{{PartName(0), 3, 10, 0xfeedbeef}},
		Rows:     3,
		Bytes:    10,
		Counters: map[string]int64{"skipped": 1}, Submitted: time.Unix(1, 0).UTC(), Decided: time.Unix(2, 5).UTC(),
	}
	b, err := want.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	got.Schema = json.RawMessage(strings.Join(strings.Fields(string(got.Schema)), ""))
	got.Spec = json.RawMessage(strings.Join(strings.Fields(string(got.Spec)), ""))
	if !reflect.DeepEqual(got, want) {
		t.Errorf("decoded\n%+v\nwant\n%+v", got, want)
	}
}

// Bytes that are no manifest of ours are refused, each with its reason.
func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                "another program",
		"{":               "unexpected end",
		`{"version":0}`:   "version 0",
		`{"version":999}`: "newer millrace",
	} {
		if _, err := Decode([]byte(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Decode(%q) = %v, want an error with %q", in, err, want)
		}
	}
}
