package proxy_test

import (
	"net/http"
	"strings"
	"testing"

	"outrider/policy/policytest"
	"outrider/proxy"
	"outrider/proxy/outbox"
)

const imported = `
[upstream.crm]
url = "https://crm.test/base"
hosts = ["crm.test", "*.crm.example"]
auth = { type = "bearer", token = "env:TOKEN" }
outbox = "allow"
retry = { idempotency_header = "Idempotency-Key" }
[[upstream.crm.rule]]
match = "/base/private/**"
outbox = "never"
`

func TestLineBecomesTheLetterThatItsCallWouldBe(t *testing.T) {
	set := compile(t, imported, policytest.NewUpstream(t))
	byPath, err := proxy.Address(set, &outbox.Line{Method: "POST", Upstream: "crm", Path: "/orders?x=1+2", Connection: "acme", OrderKey: "o", DedupKey: "d", Header: http.Header{
		"content-type": {"application/json"}, "authorization": {"Bearer of the caller"}, "outrider-priority": {"high"}, "idempotency-key": {"k"},
		"connection": {"close"}, "outrider-idempotent": {"true"}, "expect": {"100-continue"}, "early-data": {"1"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if byPath.Upstream != "crm" || byPath.Host != "" || byPath.Target != "/base/orders?x=1+2" || byPath.Connection != "acme" || byPath.OrderKey != "o" || byPath.DedupKey == "" ||
		byPath.Priority != "high" || byPath.Key != "k" || byPath.KeyHeader != "Idempotency-Key" || !byPath.Idempotent {
		t.Errorf("by path: %+v", byPath)
	}
	if len(byPath.Header) != 1 || // it is sent later, and by another connection
		byPath.Header.Get("Content-Type") != "application/json" {
		t.Errorf("its header is %v", byPath.Header)
	}
	byURL, err := proxy.Address(set, &outbox.Line{Method: "PUT", URL: "https://eu.crm.example/base//a%2Fb?"})
	if err != nil {
		t.Fatal(err)
	}
	if byURL.Upstream != "crm" || byURL.Host != "eu.crm.example" || byURL.Target != "/base//a%2Fb?" || !byURL.Idempotent {
		t.Errorf("by url: %+v", byURL)
	}
}

func TestLinesThatCannotBeLetters(t *testing.T) {
	set := compile(t, imported, policytest.NewUpstream(t))
	for says, line := range map[string]outbox.Line{
		"method":                          {Upstream: "crm", Path: "/x"},
		`"TRACE"`:                         {Method: "TRACE", Upstream: "crm", Path: "/x"},
		"no [upstream.nobody]":            {Method: "POST", Upstream: "nobody", Path: "/x"},
		"path":                            {Method: "POST", Upstream: "crm", Path: "x"},
		`no [upstream] names the host`:    {Method: "POST", URL: "https://elsewhere.test/x"},
		"without a user name":             {Method: "POST", URL: "https://user:canary@crm.test/x"},
		"one of http or https":            {Method: "POST", URL: "/x"},
		`outbox is "never"`:               {Method: "POST", Upstream: "crm", Path: "/private/x"},
		"header \"a b\"":                  {Method: "POST", Upstream: "crm", Path: "/x", Header: http.Header{"a b": {"x"}}},
		"header X-A: its value":           {Method: "POST", Upstream: "crm", Path: "/x", Header: http.Header{"X-A": {"x\r\nHost: canary"}}},
		"header Host":                     {Method: "POST", Upstream: "crm", Path: "/x", Header: http.Header{"host": {"canary"}}},
		"Cookie holds a credential":       {Method: "POST", Upstream: "crm", Path: "/x", Header: http.Header{"Cookie": {"canary"}}},
		"access_token holds a":            {Method: "POST", Upstream: "crm", Path: "/x?access_token=canary"},
		"Outrider-Priority":               {Method: "POST", Upstream: "crm", Path: "/x", Header: http.Header{"Outrider-Priority": {"urgent"}}},
		`connection "a/b"`:                {Method: "POST", Upstream: "crm", Path: "/x", Connection: "a/b"},
		"Outrider-Order-Key: it is there": {Method: "POST", Upstream: "crm", Path: "/x", Header: http.Header{"Outrider-Order-Key": {"a", "b"}}},
	} {
		letter, err := proxy.Address(set, &line)
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%+v: %+v, %v; want an error that says %s", line, letter, err, says)
		}
	}
}

// An edit could make a letter of any method, header and target: it took Host and Outrider-Key
// of the document, and what can never be sent was queued, and was dead a second later. Of what is
// never sent with a letter it said that it is changed, and sent that as it was: of a
// Content-Length, or where the upstream's credential is.
func TestChangedLetterIsHeldToWhatItsCallWas(t *testing.T) {
	set := compile(t, imported, policytest.NewUpstream(t))
	letter := func(change func(*outbox.Letter)) *outbox.Letter {
		l := &outbox.Letter{Upstream: "crm", Method: "POST", Target: "/base/x?a=b", Header: http.Header{"Content-Type": {"a/b"}}, KeyHeader: "Idempotency-Key", Key: "k"}
		change(l)
		return l
	}
	// What it had before another configuration was loaded is no part of the change.
	before := &outbox.Letter{Header: http.Header{"Authorization": {"placeholder"}, "Traceparent": {"00"}}}
	good := letter(func(l *outbox.Letter) {
		l.Header = http.Header{"X-A": {"1"}, "Authorization": {"placeholder"}, "Traceparent": {"00"}, "Te": {"trailers"}}
	})
	if err := proxy.Amend(set, good, before); err != nil {
		t.Fatal(err)
	}
	if len(good.Header) != 2 || good.Header.Get("X-A") != "1" || good.Header.Get("Te") != "trailers" || good.Target != "/base/x?a=b" || good.Key != "k" {
		t.Errorf("it became %+v", good)
	}
	for says, change := range map[string]func(*outbox.Letter){
		`method "A B"`:          func(l *outbox.Letter) { l.Method = "A B" },
		`method "CONNECT"`:      func(l *outbox.Letter) { l.Method = "CONNECT" },
		`target "/a b"`:         func(l *outbox.Letter) { l.Target = "/a b" },
		`target "/a#b"`:         func(l *outbox.Letter) { l.Target = "/a#b" },
		`header "a b"`:          func(l *outbox.Letter) { l.Header = http.Header{"a b": {"x"}} },
		"header X-A: its value": func(l *outbox.Letter) { l.Header = http.Header{"X-A": {"x\r\nHost: canary"}} },
		"header Host":           func(l *outbox.Letter) { l.Header = http.Header{"Host": {"canary"}} },
		"header Outrider-Key":   func(l *outbox.Letter) { l.Header = http.Header{"Outrider-Key": {"canary"}} },
		"header Content-Length: follows from the body":          func(l *outbox.Letter) { l.Header = http.Header{"content-length": {"99"}} },
		"header Transfer-Encoding: follows from the body":       func(l *outbox.Letter) { l.Header = http.Header{"Transfer-Encoding": {"chunked"}} },
		"header Connection: is about the connection":            func(l *outbox.Letter) { l.Header = http.Header{"Connection": {"upgrade"}, "Upgrade": {"x"}} },
		"header A-Hop: is about the connection":                 func(l *outbox.Letter) { l.Header = http.Header{"Connection": {"a-hop"}, "A-Hop": {"x"}} },
		"header Expect: is about the connection":                func(l *outbox.Letter) { l.Header = http.Header{"Expect": {"100-continue"}} },
		"header Traceparent: is about a trace":                  func(l *outbox.Letter) { l.Header = http.Header{"Traceparent": {"01"}} },
		"Authorization: the credential of [upstream.crm] takes": func(l *outbox.Letter) { l.Header = http.Header{"Authorization": {"Bearer canary"}} },
		"Cookie holds a credential":                             func(l *outbox.Letter) { l.Header = http.Header{"Cookie": {"canary"}} },
		"access_token holds a":                                  func(l *outbox.Letter) { l.Target = "/base/x?access_token=canary" },
		"which key says":                                        func(l *outbox.Letter) { l.Header = http.Header{"Idempotency-Key": {"canary"}} },
		"key: must be":                                          func(l *outbox.Letter) { l.Key = "canary\n" },
		"no [upstream.gone]":                                    func(l *outbox.Letter) { l.Upstream = "gone" },
	} {
		if err := proxy.Amend(set, letter(change), before); err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%v; want an error that says %s", err, says)
		}
	}
}
