package framing_test

import (
	"strings"
	"testing"
	"unsafe"

	"outrider/proxy/framing"
)

var get = head("GET /v1/customers?limit=100 HTTP/1.1", "Host: 127.0.0.1:8080",
	"User-Agent: python-requests/2.32.3", "Accept-Encoding: gzip, deflate", "Accept: */*",
	"Connection: keep-alive", "Authorization: Bearer sk_test_4eC39HqLyjWDarjtT1zdp7dc",
	"Idempotency-Key: 7f9c24e8-3b12-4fef-91f0-56a1d5a4c2f1")

// units are what one client repeats on one connection.
var units = []struct{ name, raw string }{
	{"get", get},
	{"pipelined", strings.Repeat(get, 8)},
	{"post", strings.Replace(get, "GET", "POST", 1)[:len(get)-1] + "Content-Length: 1024\r\n\r\n" + strings.Repeat("x", 1024)},
	{"chunked", strings.Replace(get, "GET", "POST", 1)[:len(get)-1] + "Transfer-Encoding: chunked\r\n\r\n" +
		strings.Repeat("1000\r\n"+strings.Repeat("x", 4096)+"\r\n", 16) + "0\r\n\r\n"},
}

// pass shows one unit to a scanner, in pieces of the size of a server's buffer.
func pass(t testing.TB, s *framing.Scanner, unit []byte) {
	for len(unit) > 0 {
		s.Begin(framing.Limits{})
		n, bad := s.Head(unit)
		for unit = unit[n:]; bad == nil && !s.Done(); {
			piece := unit[:min(len(unit), 4096)]
			if n = int(min(s.Left(), int64(len(piece)))); n > 0 {
				s.Pass(n)
			} else {
				n, bad = s.Frame(piece)
			}
			unit = unit[n:]
		}
		if bad != nil {
			t.Fatal(bad)
		}
	}
}

func TestScannerAllocatesNothing(t *testing.T) {
	for _, u := range units {
		var s framing.Scanner
		s.Lend(make([]framing.Field, 0, 16))
		unit := []byte(u.raw)
		if n := testing.AllocsPerRun(1000, func() { pass(t, &s, unit) }); n > 0 {
			t.Errorf("%s: %v allocations", u.name, n)
		}
	}
}

func TestScannerIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(framing.Scanner{}); n > 192 {
		t.Errorf("a Scanner takes %d bytes", n)
	}
}

// BenchmarkScanner is the cost of the checks alone: no socket, no request made.
func BenchmarkScanner(b *testing.B) {
	for _, u := range units {
		b.Run(u.name, func(b *testing.B) {
			var s framing.Scanner
			unit := []byte(u.raw)
			b.SetBytes(int64(len(u.raw)))
			b.ReportAllocs()
			for b.Loop() {
				pass(b, &s, unit)
			}
		})
	}
}
