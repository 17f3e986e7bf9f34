package notice_test

import (
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"outrider/policy/notice"
)

func TestNoticesAreRead(t *testing.T) {
	day := func(text string) time.Time {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	for name, test := range map[string]struct {
		header string
		want   notice.Notice
	}{
		"nothing":       {"Content-Type: text/plain\nLink: <https://a.test>; rel=\"next\"", notice.Notice{}},
		"RFC 9745":      {"Deprecation: @1688169599", notice.Notice{Deprecated: true, Since: day("2023-06-30T23:59:59Z")}},
		"a draft of it": {"Deprecation: true", notice.Notice{Deprecated: true}},
		"another draft": {"Deprecation: Fri, 11 Nov 2022 23:59:59 GMT", notice.Notice{Deprecated: true, Since: day("2022-11-11T23:59:59Z")}},
		"it is not":     {"Deprecation: false", notice.Notice{}},
		"nonsense":      {"Deprecation: @soon\nSunset: later", notice.Notice{}},
		"RFC 8594":      {"Sunset: Sat, 31 Dec 2026 23:59:59 GMT", notice.Notice{Sunset: day("2026-12-31T23:59:59Z")}},
		"both, and where more stands": {"Deprecation: @1688169599\nSunset: Sat, 31 Dec 2026 23:59:59 GMT\n" +
			`Link: <https://a.test/2>; rel="next", <https://a.test/old>; rel="successor-version deprecation"; type="text/html"`,
			notice.Notice{Deprecated: true, Since: day("2023-06-30T23:59:59Z"), Sunset: day("2026-12-31T23:59:59Z"), Link: "https://a.test/old"}},
		"a link of its own line": {"Sunset: 2026-12-31\nLink: <https://a.test/2>; rel=next\nLink: <https://a.test/end>;rel=sunset",
			notice.Notice{Sunset: day("2026-12-31T00:00:00Z"), Link: "https://a.test/end"}},
		"a link that is none": {"Deprecation: true\nLink: <javascript:alert(1)>; rel=deprecation", notice.Notice{Deprecated: true}},
		"Salesforce":          {`Warning: 299 - "This API is deprecated and will be removed by Summer '25 \"soon\""`, notice.Notice{Text: `This API is deprecated and will be removed by Summer '25 "soon"`}},
		"a stale cache":       {`Warning: 110 - "Response is Stale"`, notice.Notice{}},
		"Shopify": {"X-Shopify-API-Deprecated-Reason: https://shopify.dev/changelog/x",
			notice.Notice{Deprecated: true, Link: "https://shopify.dev/changelog/x"}},
		"Zendesk": {`X-Zendesk-API-Warn: Removed restricted keys ["x"]`, notice.Notice{Text: `Removed restricted keys ["x"]`}},
		"Meta":    {"X-Ad-Api-Version-Warning: The call was upgraded to v20.0.", notice.Notice{Text: "The call was upgraded to v20.0."}},
	} {
		header := make(http.Header)
		for line := range strings.SplitSeq(test.header, "\n") {
			field, value, _ := strings.Cut(line, ": ")
			header.Add(field, value)
		}
		got, ok := notice.Read(header)
		if got != test.want || ok != (test.want != notice.Notice{}) {
			t.Errorf("%s: %+v, %t; want %+v", name, got, ok, test.want)
		}
	}
}

func FuzzNotice(f *testing.F) {
	f.Add("Deprecation", "@1688169599", `<https://a.test>; rel="deprecation"`)
	f.Add("Warning", `299 - "a \"b\""`, `<`)
	f.Add("X-Zendesk-Api-Warn", strings.Repeat("ä", 400), `<<>;rel=`)
	f.Fuzz(func(t *testing.T, name, value, link string) {
		n, _ := notice.Read(http.Header{http.CanonicalHeaderKey(name): {value}, "Link": {link}})
		if !utf8.ValidString(n.Text) || len(n.Text) > 310 || strings.ContainsAny(n.Text+n.Link, "\r\n\x00\x1b") {
			t.Errorf("%+v is shown to people", n)
		}
		if n.Link != "" && !strings.HasPrefix(n.Link, "http") {
			t.Errorf("%q is to be followed", n.Link)
		}
	})
}

func BenchmarkAnswerWithoutNotice(b *testing.B) {
	header := http.Header{"Content-Type": {"application/json"}, "Date": {"x"}, "Etag": {"x"}, "Server": {"x"}, "Vary": {"x"}, "Link": {"<https://a.test>; rel=next"}}
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := notice.Read(header); ok {
			b.Fatal("there is none")
		}
	}
}
