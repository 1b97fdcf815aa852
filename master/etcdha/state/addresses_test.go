package state

import (
	"slices"
	"strings"
	"testing"
)

// The list of masters is read with their ports for each other, sorted; what cannot be is refused with what to do.
func TestParseMasters(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ list, want string }{
		{"b:7800,a:7800,c:7800", "a:7800/7801 b:7800/7801 c:7800/7801"},
		{"h:1/9,h:3,h:5/8", "h:1/9 h:3/4 h:5/8"},
		{"[::1]:1,[::1]:3,[::1]:5,h:1,h:3", "[::1]:1/2 [::1]:3/4 [::1]:5/6 h:1/2 h:3/4"},
		{"a:1", "error: 1 masters: give three"},
		{"a:1,b:1", "error: 2 masters: give three"},
		{"a:1,b:1,c:1,d:1", "error: 4 masters"},
		{"a:1,b:1,a:1", "error: both would listen at a:1"},
		{"h:1,h:2,h:3", "error: masters h:1 and h:2: both would listen at h:2"},
		{"a:1,b:1,c", "error: master c: write HOST:PORT"},
		{"a:1,b:1,c:0", "error: master c:0: write HOST:PORT"},
		{"a:1,b:1,:7", "error: master :7: write HOST:PORT"},
		{"a:1,b:1,c:65535", "error: state another, as in c:65535/7801"},
		{"a:1,b:1,c:7/x", "error: x is no port"},
	} {
		masters, err := ParseMasters(strings.Split(c.list, ","))
		if want, bad := strings.CutPrefix(c.want, "error: "); bad {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, %v, want an error with %q", c.list, masters, err, want)
			}
			continue
		}
		if got := texts(masters); err != nil || !slices.Equal(got, strings.Fields(c.want)) {
			t.Errorf("%s: %v, %v, want %s", c.list, got, err, c.want)
		}
		if again, err := ParseMasters(texts(masters)); err != nil || !slices.Equal(again, masters) {
			t.Errorf("%s: what is told to others is read as %v, %v", c.list, again, err)
		}
	}
}
