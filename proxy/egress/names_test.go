package egress

import (
	"fmt"
	"net/textproto"
	"testing"
)

func TestNamesAreMadeCanonicalOnce(t *testing.T) {
	var known names
	for _, name := range []string{"Content-Type", "content-type", "X-RateLimit-Limit", "ETag", "x", "-", "a--b", "A-b", "X-1a"} {
		want := textproto.CanonicalMIMEHeaderKey(name)
		for range 2 {
			if got := known.canonical(name); got != want {
				t.Errorf("%q became %q, want %q", name, got, want)
			}
		}
		if n := testing.AllocsPerRun(100, func() { known.canonical(name) }); n != 0 {
			t.Errorf("%q costs %v allocations each time", name, n)
		}
	}
}

// A peer that makes up a new name each time fills no memory.
func TestNamesThatAreRememberedAreBounded(t *testing.T) {
	var known names
	for i := range 3 * maxNames {
		name := fmt.Sprintf("x-name-%d", i)
		if got, want := known.canonical(name), fmt.Sprintf("X-Name-%d", i); got != want {
			t.Fatalf("%q became %q, want %q", name, got, want)
		}
	}
	if n := len(*known.known.Load()); n != maxNames {
		t.Errorf("%d names are remembered, want %d", n, maxNames)
	}
}
