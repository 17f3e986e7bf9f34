package framing_test

import (
	"bytes"
	"strings"
	"testing"

	"outrider/proxy/framing"
)

func TestWellFormedRequestsPass(t *testing.T) {
	const host = "Host: api.test"
	for name, raw := range map[string]string{
		"origin form":            head("GET /a/b?c=%zz&d=[1] HTTP/1.1", host),
		"path with odd bytes":    head("GET //a{}|\\^`\"<>%2F HTTP/1.1", host),
		"path ≥ 0x80":            head("GET /caf\xe9/\xc3\xa9 HTTP/1.1", host),
		"value ≥ 0x80":           head("GET / HTTP/1.1", host, "X: caf\xe9"),
		"tab in value":           head("GET / HTTP/1.1", host, "X:\ta\tb\t "),
		"empty value":            head("GET / HTTP/1.1", host, "X:", "Y: "),
		"all tchar in a name":    head("GET / HTTP/1.1", host, "!#$%&'*+-.^_`|~09azAZ: 1"),
		"extension method":       head("M-SEARCH /x HTTP/1.1", host),
		"HTTP/1.0 without Host":  head("GET / HTTP/1.0"),
		"absolute form":          head("GET http://api.test/x?y HTTP/1.1", host),
		"absolute form, no path": head("GET https://api.test HTTP/1.1", host),
		"absolute form, query":   head("GET HTTP://api.test:80?x HTTP/1.1", host),
		"absolute form, IPv6":    head("GET http://[2001:db8::1]:8080/ HTTP/1.1", "Host: [2001:db8::1]:8080"),
		"connect":                head("CONNECT api.test:443 HTTP/1.1", "Host: api.test:443"),
		"connect IPv6":           head("CONNECT [::1]:443 HTTP/1.1", "Host: [::1]:443"),
		"connect, length 0":      head("CONNECT api.test:443 HTTP/1.0", "Content-Length: 0"),
		"asterisk":               head("OPTIONS * HTTP/1.1", host),
		"empty Host":             head("GET / HTTP/1.1", "Host:"),
		"Host with empty port":   head("GET / HTTP/1.1", "Host: api.test:"),
		"Host with underscore":   head("GET / HTTP/1.1", "host: my_api.test:65535"),
		"one empty line before":  "\r\n" + head("GET / HTTP/1.1", host),
		"upgrade h2c":            head("GET / HTTP/1.1", host, "Upgrade: h2c", "Connection: upgrade, http2-settings", "HTTP2-Settings: AAMAAABkAAQAAP__"),
		"length":                 head("POST / HTTP/1.1", host, "Content-Length: 5") + "12345",
		"length 0":               head("POST / HTTP/1.1", host, "Content-Length: 0"),
		"length, leading zeros":  head("POST / HTTP/1.1", host, "CONTENT-LENGTH: \t 005 ") + "12345",
		"same length twice":      head("POST / HTTP/1.1", host, "Content-Length: 5", "Content-Length: 5") + "12345",
		"body that looks like a head": head("POST / HTTP/1.1", host, "Content-Length: 35") +
			"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n",
		"chunked":               head("POST / HTTP/1.1", host, "Transfer-Encoding: chunked") + "5\r\n12345\r\n0\r\n\r\n",
		"chunked in caps":       head("POST / HTTP/1.1", host, "TRANSFER-encoding:Chunked") + "A\r\n1234567890\r\n000\r\n\r\n",
		"chunked, 15 digits":    head("POST / HTTP/1.1", host, "Transfer-Encoding: chunked") + "000000000000005\r\n12345\r\n0\r\n\r\n",
		"chunk extensions":      head("POST / HTTP/1.1", host, "Transfer-Encoding: chunked") + "2;a;b=c;d=\"e;\\\"\t\xe9\"\r\nhi\r\n0;last\r\n\r\n",
		"trailers":              head("POST / HTTP/1.1", host, "Transfer-Encoding: chunked", "Trailer: Checksum") + "2\r\nhi\r\n0\r\nChecksum: 1\r\nX:\r\n\r\n",
		"largest trailers":      head("POST / HTTP/1.1", host, "Transfer-Encoding: chunked") + "0\r\nX: " + strings.Repeat("x", 4096-7) + "\r\n\r\n",
		"many chunks":           head("POST / HTTP/1.1", host, "Transfer-Encoding: chunked") + strings.Repeat("1\r\nx\r\n", 2000) + "0\r\n\r\n",
		"longest line":          head("GET / HTTP/1.1", host, "X:"+strings.Repeat("x", 32<<10-2)),
		"longest request line":  head("GET /"+strings.Repeat("x", 32<<10-14)+" HTTP/1.1", host),
		"largest head":          head("GET / HTTP/1.1", host, "X:"+strings.Repeat("x", 32<<10-2), "Y:"+strings.Repeat("y", 32<<10-40)),
		"as many headers as ok": head("GET / HTTP/1.1", host, strings.TrimSuffix(strings.Repeat("X: y\r\n", 255), "\r\n")),
	} {
		t.Run(name, func(t *testing.T) { check(t, raw, nil, 1) })
	}
}

func TestPipelinedRequestsAreToldApart(t *testing.T) {
	const host = "Host: api.test"
	check(t, head("POST /1 HTTP/1.1", host, "Content-Length: 2")+"hi"+
		head("POST /2 HTTP/1.1", host, "Transfer-Encoding: chunked")+"2\r\nhi\r\n0\r\nA: b\r\n\r\n"+
		"\r\n"+head("GET /3 HTTP/1.1", host)+
		head("GET /4 HTTP/1.1", host), nil, 4)
}

// refusal is one malformed head, and part of the reason that it must get.
type refusal struct {
	raw    string
	status int
	reason string
}

func refusals() map[string]refusal {
	const get, host, post = "GET / HTTP/1.1", "Host: api.test", "POST / HTTP/1.1"
	big := strings.Repeat("x", 33<<10)
	return map[string]refusal{
		"bare LF after request line":   {get + "\n" + host + "\r\n\r\n", 400, "LF without CR"},
		"bare LF after field":          {get + "\r\n" + host + "\n\r\n", 400, "LF without CR"},
		"bare LF as the end":           {get + "\r\n" + host + "\r\n\n", 400, "LF without CR"},
		"LF first":                     {"\n" + head(get, host), 400, "LF without CR"},
		"bare CR in request line":      {head("GET /\rx HTTP/1.1", host), 400, "target"},
		"bare CR in version":           {head(get+"\rX", host), 400, "CR without LF"},
		"bare CR in value":             {head(get, host, "X: a\rTransfer-Encoding: chunked"), 400, "CR without LF"},
		"bare CR in name":              {head(get, host, "X\rY: a"), 400, "header name"},
		"bare CR line":                 {head(get, host, "\rX"), 400, "CR without LF"},
		"CR CR LF":                     {get + "\r\n" + host + "\r\r\n\r\n", 400, "CR without LF"},
		"CR before request":            {"\r" + head(get, host), 400, "CR without LF"},
		"two empty lines":              {"\r\n\r\n" + head(get, host), 400, "more than one empty line"},
		"obs-fold":                     {head(get, host, "X: a", " b"), 400, "obs-fold"},
		"obs-fold by tab":              {head(get, host, "X: a", "\tb"), 400, "obs-fold"},
		"space before first field":     {head(get, " "+host), 400, "obs-fold"},
		"space before colon":           {head(get, host, "X : a"), 400, "between header name and colon"},
		"tab before colon":             {head(get, host, "X\t: a"), 400, "between header name and colon"},
		"vertical tab before colon":    {head(get, host, "Transfer-Encoding\x0b: chunked"), 400, "header name"},
		"NUL in name":                  {head(get, host, "X\x00: a"), 400, "header name"},
		"name ≥ 0x80":                  {head(get, host, "X\xa0: a"), 400, "header name"},
		"empty name":                   {head(get, host, ": a"), 400, "empty name"},
		"no colon":                     {head(get, host, "X"), 400, "without a colon"},
		"NUL in value":                 {head(get, host, "X: \x00"), 400, "control byte"},
		"DEL in value":                 {head(get, host, "X: \x7f"), 400, "control byte"},
		"form feed in value":           {head(get, host, "X: \x0c"), 400, "control byte"},
		"two spaces":                   {head("GET  / HTTP/1.1", host), 400, "request line"},
		"space in target":              {head("GET /a b HTTP/1.1", host), 400, "request line"},
		"space after version":          {head("GET / HTTP/1.1 ", host), 400, "request line"},
		"space before method":          {head(" GET / HTTP/1.1", host), 400, "request line"},
		"tab as separator":             {head("GET\t/ HTTP/1.1", host), 400, "request line"},
		"HTTP/0.9":                     {"GET /\r\n", 400, "request line"},
		"method with a comma":          {head("GE,T / HTTP/1.1", host), 400, "method"},
		"method ≥ 0x80":                {head("G\xc9T / HTTP/1.1", host), 400, "method"},
		"version in lower case":        {head("GET / http/1.1", host), 400, "version"},
		"version without minor":        {head("GET / HTTP/1", host), 400, "version"},
		"version with two digits":      {head("GET / HTTP/1.10", host), 400, "version"},
		"HTTP/1.2":                     {head("GET / HTTP/1.2", host), 505, "version"},
		"HTTP/2.0":                     {head("GET / HTTP/2.0", host), 505, "version"},
		"HTTP/0.9 by name":             {head("GET / HTTP/0.9", host), 505, "version"},
		"HTTP/2 preface":               {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "preface"},
		"TLS":                          {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "TLS"},
		"SOCKS 4":                      {"\x04\x01\x01\xbb", 400, "SOCKS"},
		"SOCKS 5":                      {"\x05\x01\x00", 400, "SOCKS"},
		"NUL in target":                {head("GET /\x00 HTTP/1.1", host), 400, "target"},
		"tab in target":                {head("GET /\t HTTP/1.1", host), 400, "target"},
		"fragment":                     {head("GET /#x HTTP/1.1", host), 400, "fragment"},
		"bad escape":                   {head("GET /%4 HTTP/1.1", host), 400, "hex digits"},
		"relative target":              {head("GET a/b HTTP/1.1", host), 400, "neither a path"},
		"authority form with GET":      {head("GET api.test:443 HTTP/1.1", host), 400, "neither a path"},
		"other scheme":                 {head("GET ftp://api.test/ HTTP/1.1", host), 400, "neither a path"},
		"URL without host":             {head("GET http:///x HTTP/1.1", host), 400, "invalid host"},
		"URL with userinfo":            {head("GET http://api.test@evil.test/ HTTP/1.1", host), 400, "user information"},
		"URL with backslash":           {head("GET http://api.test\\evil.test/ HTTP/1.1", host), 400, "invalid host"},
		"URL with escaped host":        {head("GET http://api%2etest/ HTTP/1.1", host), 400, "invalid host"},
		"URL with bad port":            {head("GET http://api.test:http/ HTTP/1.1", host), 400, "port"},
		"asterisk with GET":            {head("GET * HTTP/1.1", host), 400, "OPTIONS"},
		"connect to a path":            {head("CONNECT /x HTTP/1.1", host), 400, "invalid host"},
		"connect without port":         {head("CONNECT api.test HTTP/1.1", host), 400, "host:port"},
		"connect, port with a zero":    {head("CONNECT api.test:0443 HTTP/1.1", host), 400, "port"},
		"target, port with a zero":     {head("GET http://api.test:080/ HTTP/1.1", host), 400, "port"},
		"Host, port with a zero":       {head(get, "Host: api.test:080"), 400, "port"},
		"connect to port 0":            {head("CONNECT api.test:0 HTTP/1.1", host), 400, "port"},
		"connect to port 65536":        {head("CONNECT api.test:65536 HTTP/1.1", host), 400, "port"},
		"connect with userinfo":        {head("CONNECT a@api.test:443 HTTP/1.1", host), 400, "user information"},
		"connect to two":               {head("CONNECT a:1:2 HTTP/1.1", host), 400, "port"},
		"connect with length":          {head("CONNECT a.test:443 HTTP/1.1", host, "Content-Length: 5"), 400, "CONNECT with a body"},
		"connect chunked":              {head("CONNECT a.test:443 HTTP/1.1", host, "Transfer-Encoding: chunked"), 400, "CONNECT with a body"},
		"no Host":                      {head(get), 400, "without Host"},
		"two Hosts":                    {head(get, host, host), 400, "more than one Host"},
		"two Hosts in 1.0":             {head("GET / HTTP/1.0", host, host), 400, "more than one Host"},
		"Host with userinfo":           {head(get, "Host: a@b"), 400, "user information"},
		"Host with space":              {head(get, "Host: a b"), 400, "invalid host"},
		"Host with comma":              {head(get, "Host: a,b"), 400, "invalid host"},
		"Host with slash":              {head(get, "Host: a/b"), 400, "invalid host"},
		"Host with IPv6 zone":          {head(get, "Host: [fe80::1%25eth0]"), 400, "invalid host"},
		"Host with open bracket":       {head(get, "Host: [::1"), 400, "invalid host"},
		"Host with tail":               {head(get, "Host: [::1]x"), 400, "invalid host"},
		"Host with IPv4 in brackets":   {head(get, "Host: [127.0.0.1]"), 400, "invalid host"},
		"Host of a port alone":         {head(get, "Host: :80"), 400, "invalid host"},
		"length and chunked":           {head(post, host, "Content-Length: 5", "Transfer-Encoding: chunked"), 400, "Content-Length and Transfer-Encoding"},
		"chunked and length":           {head(post, host, "Transfer-Encoding: chunked", "Content-Length: 0"), 400, "Content-Length and Transfer-Encoding"},
		"two lengths":                  {head(post, host, "Content-Length: 5", "Content-Length: 6"), 400, "differing"},
		"two spellings of a length":    {head(post, host, "Content-Length: 5", "Content-Length: 05"), 400, "differing"},
		"list of lengths":              {head(post, host, "Content-Length: 5, 5"), 400, "Content-Length"},
		"length with plus":             {head(post, host, "Content-Length: +5"), 400, "Content-Length"},
		"length with minus":            {head(post, host, "Content-Length: -5"), 400, "Content-Length"},
		"length in hex":                {head(post, host, "Content-Length: 0x5"), 400, "Content-Length"},
		"length with a space":          {head(post, host, "Content-Length: 5 5"), 400, "Content-Length"},
		"length with underscore":       {head(post, host, "Content-Length: 5_0"), 400, "Content-Length"},
		"empty length":                 {head(post, host, "Content-Length: "), 400, "Content-Length"},
		"length of 2^63":               {head(post, host, "Content-Length: 9223372036854775808"), 400, "Content-Length"},
		"length of 2^64+5":             {head(post, host, "Content-Length: 18446744073709551621"), 400, "Content-Length"},
		"coding gzip, chunked":         {head(post, host, "Transfer-Encoding: gzip, chunked"), 400, "Transfer-Encoding"},
		"coding identity":              {head(post, host, "Transfer-Encoding: identity"), 400, "Transfer-Encoding"},
		"coding twice":                 {head(post, host, "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), 400, "Transfer-Encoding"},
		"coding chunked, chunked":      {head(post, host, "Transfer-Encoding: chunked, chunked"), 400, "Transfer-Encoding"},
		"coding with comma":            {head(post, host, "Transfer-Encoding: chunked,"), 400, "Transfer-Encoding"},
		"coding with parameter":        {head(post, host, "Transfer-Encoding: chunked;q=1"), 400, "Transfer-Encoding"},
		"coding quoted":                {head(post, host, "Transfer-Encoding: \"chunked\""), 400, "Transfer-Encoding"},
		"coding xchunked":              {head(post, host, "Transfer-Encoding: xchunked"), 400, "Transfer-Encoding"},
		"coding empty":                 {head(post, host, "Transfer-Encoding:"), 400, "Transfer-Encoding"},
		"coding in HTTP/1.0":           {head("POST / HTTP/1.0", host, "Transfer-Encoding: chunked"), 400, "HTTP/1.0"},
		"trailer announces length":     {head(post, host, "Transfer-Encoding: chunked", "Trailer: A, content-Length"), 400, "announces"},
		"request line too long":        {"GET /" + big, 414, "request line too long"},
		"request line too long, ended": {head("GET /"+big+" HTTP/1.1", host), 414, "request line too long"},
		"header line too long":         {lines(get, host, "X: "+big), 431, "line too long"},
		"head too large": {head(get, host, "X:"+big[:32<<10-2], "Y:"+big[:32<<10-39]),
			431, "section too large"},
		"too many headers": {lines(get, host, strings.Repeat("X: y\r\n", 256)), 431, "too many"},
	}
}

func TestMalformedHeadsAreRefusedWithTheReason(t *testing.T) {
	for name, c := range refusals() {
		t.Run(name, func(t *testing.T) {
			got := read(&wire{in: c.raw}, framing.Limits{})
			if got.fault == nil || !strings.Contains(got.fault.Reason, c.reason) || got.fault.Status != c.status {
				t.Fatalf("fault = %+v, %q, want %d %q", got.fault, got.requests, c.status, c.reason)
			}
			check(t, c.raw, got.fault, 0)
			good := head("POST /good HTTP/1.1", "Host: a", "Content-Length: 1") + "x"
			check(t, good+c.raw, got.fault, 1)
		})
	}
}

func TestMalformedBodiesAreRefusedWithTheReason(t *testing.T) {
	const chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
	for name, c := range map[string]struct{ body, reason string }{
		"empty size":               {"\r\n", "chunk size"},
		"size with sign":           {"+5\r\n12345\r\n", "chunk size"},
		"size with minus":          {"-5\r\n12345\r\n", "chunk size"},
		"size with 0x":             {"0x5\r\n12345\r\n", "chunk size"},
		"size with underscore":     {"1_0\r\n", "chunk size"},
		"space before size":        {" 5\r\n12345\r\n", "chunk size"},
		"space after size":         {"5 \r\n12345\r\n", "chunk size"},
		"space before extension":   {"5 ;a\r\n12345\r\n", "chunk size"},
		"16 digits":                {"0000000000000005\r\n12345\r\n", "chunk size"},
		"size beyond 64 bits":      {"10000000000000005\r\n12345\r\n", "chunk size"},
		"letter g":                 {"g\r\n", "chunk size"},
		"LF after size":            {"5\n12345\r\n", "LF without CR"},
		"CR alone after size":      {"5\r\r\n12345\r\n", "chunk size"},
		"LF in extension":          {"5;a\n12345\r\n0\r\n\r\n", "LF without CR"},
		"CR in extension":          {"5;a\rb\r\n12345\r\n", "chunk extension"},
		"LF in quoted extension":   {"5;a=\"\n\"\r\n12345\r\n", "LF without CR"},
		"extension without name":   {"5;\r\n12345\r\n", "chunk extension"},
		"extension without value":  {"5;a=\r\n12345\r\n", "chunk extension"},
		"extension unclosed":       {"5;a=\"b\r\n12345\r\n", "chunk extension"},
		"extension with space":     {"5; a\r\n12345\r\n", "chunk extension"},
		"extension of NUL":         {"5;\x00\r\n12345\r\n", "chunk extension"},
		"long chunk line":          {"5;" + strings.Repeat("a", 1<<10), "chunk line too long"},
		"many extensions":          {strings.Repeat("1;"+strings.Repeat("a", 1000)+"\r\nx\r\n", 9), "too many bytes"},
		"no CRLF after chunk":      {"5\r\n123456\r\n", "followed by CRLF"},
		"LF after chunk":           {"5\r\n12345\n0\r\n\r\n", "followed by CRLF"},
		"CR alone after chunk":     {"5\r\n12345\r0\r\n\r\n", "followed by CRLF"},
		"chunk too short":          {"5\r\n1234\r\n0\r\n\r\n", "followed by CRLF"},
		"LF after last chunk":      {"0\n\r\n", "LF without CR"},
		"LF ends trailers":         {"0\r\n\n", "LF without CR"},
		"LF in trailers":           {"0\r\nA: b\n\r\n", "LF without CR"},
		"folded trailer":           {"0\r\nA: b\r\n c\r\n\r\n", "obs-fold"},
		"NUL in trailer":           {"0\r\nA: \x00\r\n\r\n", "control byte"},
		"space before colon":       {"0\r\nA : b\r\n\r\n", "between header name and colon"},
		"length in trailers":       {"0\r\ncontent-length: 5\r\n\r\n", "not allowed in trailers"},
		"coding in trailers":       {"5\r\n12345\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n", "not allowed in trailers"},
		"host in trailers":         {"0\r\nA: b\r\nHost: x\r\n\r\n", "not allowed in trailers"},
		"credential in trailers":   {"0\r\nAuthorization: x\r\n\r\n", "not allowed in trailers"},
		"our control in trailers":  {"0\r\noutrider-key: x\r\n\r\n", "not allowed in trailers"},
		"long control in trailers": {"0\r\nOutrider-" + strings.Repeat("x", 40) + ": y\r\n\r\n", "not allowed in trailers"},
		"large trailers":           {"0\r\nA: " + strings.Repeat("x", 4096) + "\r\n\r\n", "trailer section too large"},
		"large trailers by one":    {"0\r\nA: " + strings.Repeat("x", 4096-6) + "\r\n\r\n", "trailer section too large"},
		"many trailers":            {"0\r\n" + strings.Repeat("A: b\r\n", 1000), "trailer section too large"},
		"request after last line":  {"0\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n", "without a colon"},
	} {
		t.Run(name, func(t *testing.T) {
			got := read(&wire{in: chunked + c.body}, framing.Limits{})
			if got.fault == nil || !strings.Contains(got.fault.Reason, c.reason) || got.fault.Status != 400 {
				t.Fatalf("fault = %+v, %q, want %q", got.fault, got.requests, c.reason)
			}
			check(t, chunked+c.body+head("GET /behind HTTP/1.1", "Host: a"), got.fault, 1)
		})
	}
}

// A refused HEAD must not be answered with a body.
func TestRefusedHeadIsKnownForOne(t *testing.T) {
	for raw, want := range map[string]bool{
		head("HEAD / HTTP/1.1", "X : y"):             true,
		"\r\n" + head("HEAD / HTTP/1.1", "X : y"):    true,
		head("GET / HTTP/1.1", "X : y"):              false,
		head("HEADER / HTTP/1.1", "X : y"):           false,
		"\x16\x03\x01":                               false,
		"\r\n\r\n" + head("HEAD / HTTP/1.1", "Y: y"): false,
	} {
		for name, cut := range map[string]func(int) int{"at once": nil, "byte by byte": oneByte} {
			r := &reader{wire: &wire{raw, cut}}
			if _, fault := r.head(framing.Limits{}); fault == nil || r.scanner.Refused(r.window) != want {
				t.Errorf("%s: %q is refused with %v, as a HEAD: %v", name, raw, fault, !want)
			}
		}
	}
}

// A head that breaks off is for the reader of the bytes to refuse, and so is a body.
func TestTruncatedRequests(t *testing.T) {
	begin := head("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked")
	whole := begin + "5\r\n12345\r\n0\r\nA: b\r\n\r\n"
	for n := range whole {
		for _, cut := range []func(int) int{nil, oneByte} {
			got := read(&wire{whole[:n], cut}, framing.Limits{})
			inHead := 0 < n && n < len(begin)
			if got.err != nil || got.fault != nil || got.cutOff != inHead {
				t.Errorf("cut to %q: %+v", whole[:n], got)
			}
		}
	}
}

func TestLimitsAreTheCallers(t *testing.T) {
	l := framing.Limits{MaxHead: 60, MaxLine: 30, MaxHeaders: 2}
	for raw, status := range map[string]int{
		head("GET / HTTP/1.1", "Host: a", "X: y"):                                     0,
		head("GET / HTTP/1.1", "Host: a", "X: y", "X: y"):                             431,
		head("GET /"+strings.Repeat("x", 20)+" HTTP/1.1", "Host: a"):                  414,
		head("GET / HTTP/1.1", "Host: a", "X: "+strings.Repeat("x", 29)):              431,
		head("GET /xxxxxxxxxxxxx HTTP/1.1", "Host: a", "X: "+strings.Repeat("x", 25)): 431,
	} {
		got := read(&wire{in: raw}, l)
		if status == 0 && got.fault != nil || status != 0 && (got.fault == nil || got.fault.Status != status) {
			t.Errorf("%q: %v, want %d", raw, got.fault, status)
		}
	}
}

// Values are looked at eight bytes at a time: a control character is refused wherever it
// stands, beside whatever.
func TestNoControlCharacterHidesInAValue(t *testing.T) {
	for _, filling := range []byte{' ', '~', 0x80, 0xff} {
		for size := 1; size <= 17; size++ {
			for at := range size {
				for b := range 256 {
					val := bytes.Repeat([]byte{filling}, size)
					val[at] = byte(b)
					var s framing.Scanner
					s.Begin(framing.Limits{})
					n, _ := s.Head([]byte("GET / HTTP/1.1\r\nHost: a\r\nX: " + string(val) + "\r\n\r\n"))
					if good := b == '\t' || b >= ' ' && b != 0x7f; good != (n > 0) && b != '\r' && b != '\n' {
						t.Fatalf("%q: passes: %v", val, n > 0)
					}
				}
			}
		}
	}
}
