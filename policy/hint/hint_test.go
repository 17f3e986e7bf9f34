package hint_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"outrider/policy/hint"
)

var now = time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)

func TestRetryAfter(t *testing.T) {
	const (
		ra = "Retry-After"
		ms = "Retry-After-Ms"
	)
	tests := []struct {
		name string
		h    http.Header
		want time.Duration
		ok   bool
	}{
		{"no header", http.Header{}, 0, false},
		{"nil header", nil, 0, false},
		{"another header only", http.Header{"Date": {"Mon, 02 Mar 2026 10:00:00 GMT"}}, 0, false},

		{"seconds", http.Header{ra: {"120"}}, 2 * time.Minute, true},
		{"zero means now", http.Header{ra: {"0"}}, 0, true},
		{"leading zeros", http.Header{ra: {"007"}}, 7 * time.Second, true},
		{"white space around", http.Header{ra: {" \t3 "}}, 3 * time.Second, true},
		{"decimals of zero", http.Header{ra: {"2.0"}}, 2 * time.Second, true},
		{"decimals", http.Header{ra: {"1.25"}}, 1250 * time.Millisecond, true},
		{"below a nanosecond rounds up", http.Header{ra: {"0.0000000001"}}, 1, true},
		{"many zeros do not round up", http.Header{ra: {"1.000000000000"}}, time.Second, true},

		{"negative", http.Header{ra: {"-5"}}, 0, false},
		{"plus sign", http.Header{ra: {"+5"}}, 0, false},
		{"empty", http.Header{ra: {""}}, 0, false},
		{"a dot", http.Header{ra: {"."}}, 0, false},
		{"no whole part", http.Header{ra: {".5"}}, 0, false},
		{"no decimals after the dot", http.Header{ra: {"5."}}, 0, false},
		{"exponent", http.Header{ra: {"1e3"}}, 0, false},
		{"unit", http.Header{ra: {"6m0s"}}, 0, false},
		{"word", http.Header{ra: {"days"}}, 0, false},
		{"not a number", http.Header{ra: {"NaN"}}, 0, false},
		{"infinity", http.Header{ra: {"Inf"}}, 0, false},
		{"digits of another script", http.Header{ra: {"٣"}}, 0, false},

		{"days are cut to the limit", http.Header{ra: {"604800"}}, hint.Max, true},
		{"exactly the limit", http.Header{ra: {"86400"}}, hint.Max, true},
		{"an epoch is cut to the limit", http.Header{ra: {"1772445600"}}, hint.Max, true},
		{"more digits than an int64 holds", http.Header{ra: {strings.Repeat("9", 400)}}, hint.Max, true},

		{"IMF-fixdate", http.Header{ra: {"Mon, 02 Mar 2026 10:00:30 GMT"}}, 30 * time.Second, true},
		{"RFC 850 date", http.Header{ra: {"Monday, 02-Mar-26 10:00:30 GMT"}}, 30 * time.Second, true},
		{"asctime date", http.Header{ra: {"Mon Mar  2 10:00:30 2026"}}, 30 * time.Second, true},
		{"a date that has passed means now", http.Header{ra: {"Mon, 02 Mar 2026 09:59:59 GMT"}}, 0, true},
		{"a date far away is cut", http.Header{ra: {"Fri, 31 Dec 9999 23:59:59 GMT"}}, hint.Max, true},
		{"a date in another zone is no HTTP-date", http.Header{ra: {"Monday, 02-Mar-26 10:00:30 EST"}}, 0, false},
		{"an RFC 3339 date is no HTTP-date", http.Header{ra: {"2026-03-02T10:00:30Z"}}, 0, false},

		{"skew: server's clock an hour ahead", http.Header{
			ra: {"Mon, 02 Mar 2026 11:00:30 GMT"}, "Date": {"Mon, 02 Mar 2026 11:00:00 GMT"}}, 30 * time.Second, true},
		{"skew: server's clock an hour behind", http.Header{
			ra: {"Mon, 02 Mar 2026 09:00:30 GMT"}, "Date": {"Mon, 02 Mar 2026 09:00:00 GMT"}}, 30 * time.Second, true},
		{"a malformed Date falls back on our clock", http.Header{
			ra: {"Mon, 02 Mar 2026 10:00:30 GMT"}, "Date": {"yesterday"}}, 30 * time.Second, true},
		{"Date does not move a number of seconds", http.Header{
			ra: {"5"}, "Date": {"Mon, 02 Mar 2026 11:00:00 GMT"}}, 5 * time.Second, true},

		{"milliseconds", http.Header{ms: {"1500"}}, 1500 * time.Millisecond, true},
		{"milliseconds with decimals", http.Header{ms: {"12.5"}}, 12500 * time.Microsecond, true},
		{"milliseconds are no date", http.Header{ms: {"Mon, 02 Mar 2026 10:00:30 GMT"}}, 0, false},

		{"two lines: the longest", http.Header{ra: {"3", "7"}}, 7 * time.Second, true},
		{"one folded line: the longest", http.Header{ra: {"7, 3"}}, 7 * time.Second, true},
		{"both fields: the longest is the seconds", http.Header{ra: {"2"}, ms: {"1500"}}, 2 * time.Second, true},
		{"both fields: the longest is the milliseconds", http.Header{ra: {"2"}, ms: {"2500"}}, 2500 * time.Millisecond, true},
		{"a number and a later date", http.Header{ra: {"3", "Mon, 02 Mar 2026 10:00:30 GMT"}}, 30 * time.Second, true},
		{"a malformed value takes nothing from the others", http.Header{ra: {"soon", "3"}, ms: {"-1"}}, 3 * time.Second, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := hint.RetryAfter(tt.h, now)
			if got != tt.want || ok != tt.ok {
				t.Errorf("RetryAfter(%v) = %v, %v; want %v, %v", tt.h, got, ok, tt.want, tt.ok)
			}
		})
	}
}

func TestSentIsTheServersClockWhereItIsShown(t *testing.T) {
	for date, want := range map[string]time.Time{
		"Mon, 02 Mar 2026 11:00:00 GMT": now.Add(time.Hour),
		"Mon, 02 Mar 2026 11:00:00 EST": now,
		"yesterday":                     now,
		"":                              now,
	} {
		if got := hint.Sent(http.Header{"Date": {date}}, now); !got.Equal(want) {
			t.Errorf("Date %q: %v, want %v", date, got, want)
		}
	}
	if got := hint.Sent(nil, now); !got.Equal(now) {
		t.Errorf("no header: %v", got)
	}
}

func TestResponseWithoutHintAllocatesNothing(t *testing.T) {
	h := http.Header{"Content-Type": {"application/json"}}
	if n := testing.AllocsPerRun(100, func() { hint.RetryAfter(h, now) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, v := range []string{"", "0", "2.0", "-1", "1e9", "99999999999999999999", "6m0s", "3, 4",
		"Mon, 02 Mar 2026 10:00:30 GMT", "Monday, 02-Mar-26 10:00:30 GMT", "Mon Mar  2 10:00:30 2026"} {
		f.Add(v, "", "")
		f.Add("1", v, v)
	}
	f.Fuzz(func(t *testing.T, seconds, millis, date string) {
		h := http.Header{"Retry-After": {seconds}, "Retry-After-Ms": {millis}, "Date": {date}}
		d, ok := hint.RetryAfter(h, now)
		if d < 0 || d > hint.Max || !ok && d != 0 {
			t.Fatalf("RetryAfter(%q) = %v, %v", h, d, ok)
		}
		// Another value can only make the wait longer.
		h.Add("Retry-After", "17")
		if more, ok := hint.RetryAfter(h, now); !ok || more < max(d, 17*time.Second) {
			t.Fatalf("RetryAfter(%q) = %v, %v; was %v without the 17", h, more, ok, d)
		}
	})
}

func BenchmarkRetryAfter(b *testing.B) {
	for name, h := range map[string]http.Header{
		"none":    {"Content-Type": {"text/plain"}},
		"seconds": {"Retry-After": {"30"}},
		"date":    {"Retry-After": {"Mon, 02 Mar 2026 10:00:30 GMT"}, "Date": {"Mon, 02 Mar 2026 10:00:00 GMT"}},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				hint.RetryAfter(h, now)
			}
		})
	}
}

func ExampleRetryAfter() {
	h := http.Header{}
	h.Set("Date", "Mon, 02 Mar 2026 10:00:00 GMT")
	h.Set("Retry-After", "Mon, 02 Mar 2026 10:01:30 GMT")
	fmt.Println(hint.RetryAfter(h, time.Now()))
	// Output: 1m30s true
}
