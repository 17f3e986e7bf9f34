package egress

import (
	"net/textproto"
	"strconv"
	"strings"
	"testing"
)

// Eight bytes at a time or one after the other: the same is found.
func FuzzText(f *testing.F) {
	for _, s := range []string{
		"", "\t", "text/html", "\x7f", "0123456\x1f", "01234567\x00", "0123456\t89\r\n", "\t\t\t\t\t\t\t\t\n",
		" \x1f!\x7f~\x80\x9f\xff", "\x80\x80\x80\x80\x80\x80\x80\x7f", "\xff\xff\xff\xff\xff\xff\xff\xff \x00", "Content-Type: x", "x-Y", "9223372036854775807", "9223372036854775808", "0000000000000000000000001", "-1",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		// However it lies in the words of eight.
		for from := range min(len(s), 9) {
			s := s[from:]
			want := strings.IndexFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
			if want < 0 {
				want = len(s)
			}
			if got := controlAt(s); got != want {
				t.Errorf("the first control character of %q is at %d, want %d", s, got, want)
			}
		}
		if isTarget(s) != !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			t.Errorf("%q is a target: %v", s, isTarget(s))
		}
		wantN, err := strconv.ParseInt(s, 10, 64)
		if n, ok := decimal(s); ok != (err == nil && isDigits(s)) || ok && n != wantN {
			t.Errorf("%q is the number %d, %v", s, n, ok)
		}
		if got, want := trimmed(s), strings.Trim(s, " \t"); got != want {
			t.Errorf("%q trimmed is %q, want %q", s, got, want)
		}
		end, canonical := scanName(s)
		name := s[:end]
		want := strings.IndexFunc(s, func(r rune) bool { return !isToken(string(r)) })
		if want < 0 {
			want = len(s)
		}
		if end != want {
			t.Errorf("the token of %q ends at %d, want %d", s, end, want)
		}
		if want := textproto.CanonicalMIMEHeaderKey(name) == name; canonical != want {
			t.Errorf("%q is canonical: %v, want %v", name, canonical, want)
		}
	})
}
