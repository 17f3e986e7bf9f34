package egress

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// FuzzPrecedent: whatever came before, a section is read, or refused, as if it were the first.
func FuzzPrecedent(f *testing.F) {
	const usual = "Date: now\r\nContent-Type: text/plain\r\nX-RateLimit-Limit: 5\r\n"
	for _, s := range []string{
		"", "Date: later\r\nContent-Type: text/plain\r\nX-RateLimit-Limit: 5\r\n", "Content-Type: text/plain\r\n",
		"Set-Cookie: a\r\nSet-Cookie: b\r\nDate: now\r\n", "Date: now\r\nDate: now\r\n", "Date: now\r\n folded\r\n",
		"Date: now and then\r\n", "date: now\r\n", "Date: now\rContent-Type: text/plain\r\n", "Date\r\n", usual + "X: \x00\r\n",
	} {
		f.Add(usual, s)
		f.Add(s, usual)
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, before, now string) {
		for _, s := range []*string{&before, &now} { // each line ends with CRLF: readSection has seen to that
			if *s = strings.ReplaceAll(strings.ReplaceAll(*s, "\r\n", "\n"), "\n", "\r\n"); !strings.HasSuffix(*s, "\r\n") {
				*s += "\r\n"
			}
		}
		var known names
		p, err := newPrecedent("HTTP/1.1 200 OK\r\n"+before, &known)
		if err != nil {
			return
		}
		s := section{[]byte(now), strings.Count(now, "\n")}
		want, wantSigns, wantErr := parseFields(s, &known, nil, nil)
		got, gotSigns, gotErr := parseFields(s, &known, p, make([]string, 9))
		if fmt.Sprint(gotErr) != fmt.Sprint(wantErr) || gotSigns != wantSigns || !maps.EqualFunc(got, want, slices.Equal[[]string]) {
			t.Errorf("after %q, %q is %q (%v), want %q (%v)", before, now, got, gotErr, want, wantErr)
		}
	})
}

// A name whose sign is another's is looked for in vain, in each answer that has it.
func TestUsualNamesHaveTheSignOfNoneThatIsAskedFor(t *testing.T) {
	asked := []string{"Connection", "Content-Length", "Transfer-Encoding", "Trailer", "Keep-Alive"}
	for i, name := range asked {
		for _, other := range append(strings.Fields(`
			Accept-Ranges Access-Control-Allow-Origin Access-Control-Allow-Credentials Access-Control-Expose-Headers
			Age Allow Alt-Svc Cache-Control Cf-Cache-Status Cf-Ray Content-Disposition Content-Encoding Content-Language
			Content-Security-Policy Content-Type Date Etag Expires Last-Modified Link Location Nel Permissions-Policy Pragma
			Ratelimit Ratelimit-Policy Ratelimit-Limit Ratelimit-Remaining Ratelimit-Reset Referrer-Policy Report-To
			Request-Id Retry-After Server Server-Timing Set-Cookie Strict-Transport-Security Vary Via Www-Authenticate
			X-Cache X-Content-Type-Options X-Frame-Options X-Powered-By X-Ratelimit-Limit X-Ratelimit-Remaining
			X-Ratelimit-Reset X-Ratelimit-Used X-Request-Id X-Runtime X-Served-By X-Timer X-Xss-Protection`), asked[i+1:]...) {
			if signOf(name) == signOf(other) {
				t.Errorf("%s has the sign of %s", other, name)
			}
		}
	}
}
