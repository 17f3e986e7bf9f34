package framing_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"outrider/proxy/framing"
)

// FuzzConn holds a Conn against a second reader of the same bytes, net/http:
//
//   - whatever passes, net/http reads without an error of its own;
//   - it reads as many requests as the scanner counted, and at the end of each it
//     holds no byte of the next, so that both agree on every boundary;
//   - how the bytes are cut into reads changes nothing;
//   - what passes before the first violation is what came in, unchanged;
//   - Detach at any point gives back what was not handed on.
func FuzzConn(f *testing.F) {
	for _, c := range refusals() {
		f.Add(c.raw, uint64(1))
	}
	one := head("POST /1?x HTTP/1.1", "Host: a", "Content-Length: 3") + "abc"
	two := head("PUT http://a/2 HTTP/1.1", "Host: a", "Transfer-Encoding: chunked", "Trailer: A") + "3;x=\"y\"\r\nabc\r\n0\r\nA:b\r\n\r\n"
	f.Add(one+two+one, uint64(2))
	f.Add(two+"\r\n"+one+two, uint64(3))
	f.Add(two+head("CONNECT a:1 HTTP/1.1", "Host: a:1")+"\x16\x03\x01", uint64(4))
	f.Add(head("OPTIONS * HTTP/1.0")+one[:9], uint64(5))
	f.Fuzz(func(t *testing.T, raw string, seed uint64) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		cut := func(most int) int { return 1 + rnd.IntN(min(most, 1+rnd.IntN(40))) }

		whole, c := readRaw(raw, nil)
		if whole.err != nil {
			t.Fatalf("net/http refuses what passed: %v\n%q", whole.err, raw)
		}
		if len(whole.requests) != c.Heads() || whole.leftover != 0 {
			t.Fatalf("net/http read %d requests, %d heads passed, leftover %d\n%q",
				len(whole.requests), c.Heads(), whole.leftover, raw)
		}
		for name, cut := range map[string]func(int) int{"bytes": oneByte, "pieces": cut} {
			if pieces, _ := readRaw(raw, cut); !pieces.equal(whole) {
				t.Fatalf("by %s: %+v, at once: %+v\n%q", name, pieces, whole, raw)
			}
		}
		unchanged(t, raw, whole.fault == nil, cut)
		detached(t, raw, rnd, cut)
	})
}

// unchanged reads raw through a Conn and compares what came out with raw, up to
// a stand-in and passing over empty lines in front of heads.
func unchanged(t *testing.T, raw string, good bool, cut func(int) int) {
	out, _ := readAll(framing.NewConn(&wire{in: raw, cut: cut}, framing.Limits{}))
	if i := strings.LastIndex(out, "/ HTTP/1.1\r\nHost: outrider.invalid\r\n"); i >= 0 && !good {
		out = out[:max(0, i-len("HEAD "))]
	}
	for out != "" && raw != "" {
		switch {
		case out[0] == raw[0]:
			out, raw = out[1:], raw[1:]
		case strings.HasPrefix(raw, "\r\n"):
			raw = raw[2:]
		default:
			raw = ""
		}
	}
	if out != "" {
		t.Fatalf("not in the input: %q", out)
	}
}

// detached reads one request, perhaps a byte more, and detaches.
func detached(t *testing.T, raw string, rnd *rand.Rand, cut func(int) int) {
	first := head("GET / HTTP/1.1", "Host: a", "Upgrade: x")
	w := &wire{in: first + raw, cut: cut}
	c := framing.NewConn(w, framing.Limits{})
	p := make([]byte, 512)
	for n := 0; n < len(first); {
		m, err := c.Read(p)
		if n += m; err != nil {
			t.Fatal(err)
		}
	}
	if rnd.IntN(2) == 0 {
		_, _ = c.Read(p[:1])
	}
	early, inner := c.Detach()
	rest, _ := readAll(inner)
	if got := string(early) + rest; got != raw {
		t.Fatalf("after Detach %q, want %q", got, raw)
	}
}
