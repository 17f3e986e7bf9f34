package framing_test

import (
	"math/rand/v2"
	"testing"

	"outrider/proxy/framing"
)

// FuzzScanner holds a scanner against a second reader of the same bytes, net/http:
//
//   - whatever is released, net/http reads without an error of its own, and finds the
//     same method, target and body in it;
//   - at the end of each request it holds no byte of the next, so that both agree on
//     every boundary;
//   - how the bytes are cut into reads changes nothing.
func FuzzScanner(f *testing.F) {
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

		whole := read(&wire{in: raw}, framing.Limits{})
		if whole.err != nil || whole.leftover != 0 {
			t.Fatalf("net/http: %v, leftover %d\n%q", whole.err, whole.leftover, raw)
		}
		for name, cut := range map[string]func(int) int{"bytes": oneByte, "pieces": cut} {
			if pieces := read(&wire{raw, cut}, framing.Limits{}); !pieces.equal(whole) {
				t.Fatalf("by %s: %+v, at once: %+v\n%q", name, pieces, whole, raw)
			}
		}
	})
}
